"""The life of an activation, one file per step; ``docs/lifecycle.md`` numbers the same steps.

Every step that gives something goes: enforce, load, decide, log the intent, act through a port,
record, notify. What takes away never asks the PDP (I11).
"""
