"""Ports of the loopback, reserved while nothing listens on them."""

import secrets
import socket

# Below the ports that Linux, macOS and Windows assign to connections: a client
# that calls a stopped server must not be assigned the very port that it calls.
_PORTS = range(15_000, 32_000)
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return ports that the system assigns to no process and we assign only once, so they stay ours.

    A program that is stopped finds its port free when it starts again.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(_PORTS)
        if port not in _given and not _is_taken(port):
            _given.add(port)
            ports.append(port)
    return ports


def listens(port: int) -> bool:
    """Return whether a process accepts connections at `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False
