"""Fuzzers: ``make fuzz SECONDS=60`` runs each target for its share of the time.

A target is one file in ``targets``; nothing else lists it. What a run finds is kept in
``corpus/<target>``, which ``tests/property/test_fuzz.py`` replays: found once, a test for ever.
"""
