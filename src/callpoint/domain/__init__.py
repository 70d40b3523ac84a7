"""Frozen values and rules of emergency access: no I/O, no clock, no async."""
