"""Ports of the loopback, reserved while nothing listens on them."""

import secrets
import socket

_HOST = "127.0.0.1"
# Below what Linux, macOS and Windows give to connections: a client that calls
# a server which is down must not be given the very port that it calls.
_PORTS = range(15_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at, and that no other process of ours is given before this one ends.

    A server that is stopped finds its port free when it starts again.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(_PORTS)
        if _hold(port) and not _is_taken(port):
            ports.append(port)
    return ports


def listens(port: int) -> bool:
    """Return whether a process accepts connections at `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((_HOST, port)) == 0


def _hold(port: int) -> bool:
    """Take the UDP port of that number, which only one process can; tell whether it is ours now."""
    with socket.socket(type=socket.SOCK_DGRAM) as holder:
        try:
            holder.bind((_HOST, port))
        except OSError:
            return False
        # The system closes it when the process ends, however that happens.
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
