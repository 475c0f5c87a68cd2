"""Free loopback ports, reserved for this process."""

import secrets
import socket

_HOST = "127.0.0.1"
# Below the range that Linux, macOS and Windows use for outgoing connections.
# Otherwise a client of a stopped server could get the server's own port.
_PORTS = range(15_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return free ports, and reserve them until this process ends.

    So a stopped server finds its port free at the next start.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(_PORTS)
        if _hold(port) and not _is_taken(port):
            ports.append(port)
    return ports


def listens(port: int) -> bool:
    """Return true if a process accepts connections at `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((_HOST, port)) == 0


def _hold(port: int) -> bool:
    """Reserve `port` by its UDP port, which only one process can hold. Return true on success."""
    with socket.socket(type=socket.SOCK_DGRAM) as holder:
        try:
            holder.bind((_HOST, port))
        except OSError:
            return False
        # The system closes the socket at any end of the process.
        holder.detach()
        return True


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return True
        return False
