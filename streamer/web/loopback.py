"""Recognition of loopback addresses."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return true for `localhost` and the names below it, 127.0.0.0/8 and ::1."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
