"""Listeners of a broker, and the addresses that it advertises."""

from collections.abc import Sequence
from dataclasses import dataclass

CONTROLLER = "CONTROLLER"
PLAINTEXT = "PLAINTEXT"
SASL_SSL = "SASL_SSL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A broker's port. The broker advertises `bootstrap`, which can be another address."""

    name: str
    port: int
    bootstrap: str
    protocol: str = PLAINTEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxiedListener:
    """A plaintext listener at `port` that advertises a proxy at `proxy_port`.

    The caller runs the proxy: `TcpProxy(listener.port, port=listener.proxy_port)`.
    """

    port: int
    proxy_port: int

    @property
    def bootstrap(self) -> str:
        """Address for clients, which is the proxy's address."""
        return f"127.0.0.1:{self.proxy_port}"


def listener_properties(listeners: Sequence[Listener]) -> dict[str, str]:
    """Return Kafka's settings for these listeners. Brokers connect to each other by `PLAINTEXT`."""
    protocols = [f"{listener.name}:{listener.protocol}" for listener in listeners]
    bound = [f"{listener.name}://127.0.0.1:{listener.port}" for listener in listeners]
    # Kafka does not start if it advertises the controllers' listener to clients.
    told = [f"{one.name}://{one.bootstrap}" for one in listeners if one.name != CONTROLLER]
    return {
        "listeners": ",".join(bound),
        "advertised.listeners": ",".join(told),
        "listener.security.protocol.map": ",".join(protocols),
        "controller.listener.names": CONTROLLER,
        "inter.broker.listener.name": PLAINTEXT,
    }
