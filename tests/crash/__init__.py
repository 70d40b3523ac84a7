"""Crash harness: processes that die by SIGKILL at every write and every call, and what is left.

``make crash DEATHS=300`` runs it at length; ``tests/fault/test_crash.py`` runs a smaller one.
"""
