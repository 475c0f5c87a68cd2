"""Configuration files for daemons that read a sandbox org."""

from pathlib import Path
from typing import Any

import yaml

CHANGES = "/data/ChangeEvents"
ORDERS = "/event/Order_Placed__e"
ORDER_KEY = "Order_No__c"


def sandbox_configuration(url: str, *, log: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the configuration of a daemon that reads changes and orders of the org at `url` into `log`.

    It reads over CometD, because not every sandbox serves the Pub/Sub API: see `over_pubsub`.
    """
    return {
        "org": {
            "login_url": url,
            "auth": {
                "flow": "client_credentials",
                "client_id": "sandbox",
                "client_secret": "sandbox-secret",
            },
            "transport": "cometd",
        },
        "channels": [
            {"path": CHANGES, "start": "earliest"},
            {"path": ORDERS, "start": "earliest", "key": ORDER_KEY},
        ],
        "log": log,
        "observe": {"host": "localhost", "port": 0, "log_format": "json"},
        "admin": {"port": 0},
        **more,
    }


def over_pubsub(configuration: dict[str, Any], address: str) -> dict[str, Any]:
    """Return `configuration` with all channels read over the Pub/Sub API at `address`, without TLS."""
    pubsub = {"transport": "pubsub", "pubsub": {"endpoint": f"http://{address}"}}
    return {**configuration, "org": {**configuration["org"], **pubsub}}


def written(directory: Path, configuration: dict[str, Any]) -> Path:
    """Write `configuration` to a file in `directory` and return its path."""
    path = directory / "streamer.yaml"
    path.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")
    return path
