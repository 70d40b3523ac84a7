"""Addresses of servers: whether what is said to one can be read on the way."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_confidential(address: str) -> bool:
    """Whether it is HTTPS, or stays on this machine; a text that is no address is not."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host)))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
