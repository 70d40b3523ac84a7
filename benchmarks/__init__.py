"""Figures, each beside what the machine allows or beside a peer, measured in the same run.

``python -m benchmarks.NAME --json``; ``docs/performance.md`` says what each means and aims at.
"""
