"""The store on PostgreSQL."""

from callpoint.adapters.stores.postgresql.store import PostgresStore

__all__ = ["PostgresStore"]
