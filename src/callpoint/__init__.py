"""Callpoint: a control plane for emergency ("break-glass") access.

Start with `ARCHITECTURE.md`: it names the layers and where each step of an activation lives.
"""
