"""Incident sources: one file per product, and how a source proves itself."""
