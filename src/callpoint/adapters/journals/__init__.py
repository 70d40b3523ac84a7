"""Journals of gateways."""
