"""Witnesses of logs: the way to others, and this installation's memory as one."""
