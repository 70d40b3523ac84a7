"""The authority over HTTPS, for a gateway that runs alone."""

from callpoint.gateways.authority.line import Sign
from callpoint.gateways.authority.remote import RemoteAuthority
from callpoint.gateways.authority.way import carrier

__all__ = ["RemoteAuthority", "Sign", "carrier"]
