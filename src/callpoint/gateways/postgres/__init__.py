"""The gateway for PostgreSQL. So far only what a statement does (``sql``), not yet the wire."""
