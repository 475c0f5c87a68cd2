"""Ports of the loopback that stay ours while nothing listens there."""

import secrets
import socket

# Below what Linux, macOS and Windows give to connections: a client that calls
# a server which is down must not be given the very port that it calls.
_PORTS = range(15_000, 32_000)
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return ports that the system hands to nobody by itself, and we only once: they stay ours.

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
    """Tell whether somebody accepts connections at `port`."""
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
