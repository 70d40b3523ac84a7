"""Connectors: one folder or file per kind of target."""
