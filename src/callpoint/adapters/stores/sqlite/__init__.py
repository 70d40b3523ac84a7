"""The embedded store on one SQLite file."""

from callpoint.adapters.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
