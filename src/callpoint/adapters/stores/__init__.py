"""State and event log of an installation; one package per database."""
