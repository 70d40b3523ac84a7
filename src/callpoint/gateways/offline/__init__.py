"""Going on without the authority, within a signed grant and on record (I13, docs/adr/0024)."""

from callpoint.gateways.offline.authority import EnduringAuthority
from callpoint.gateways.offline.keeping import Keeping, OfflineKit

__all__ = ["EnduringAuthority", "Keeping", "OfflineKit"]
