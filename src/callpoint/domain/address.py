"""Addresses of servers: who can reach one, and who can read what is said to it."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_confidential(address: str) -> bool:
    """Whether it is HTTPS, or stays on this machine; a text that is no address is not."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
