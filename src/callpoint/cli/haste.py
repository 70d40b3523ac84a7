"""Garbage collection around a start: what modules define is no garbage.

Python looks through everything anew for each few hundred objects that appear, and a start makes a
quarter of a million that all stay: a tenth of the time of each command.
"""

import gc

_SELDOM = 100_000
_USUAL = 700
"""Objects that appear between two collections; the one is ours, the other Python's own."""


def begin() -> None:
    """Collect seldom, while modules are being loaded."""
    gc.set_threshold(_SELDOM)


def settle() -> None:
    """Collect as usual from now on, in a process that stays; what is there already is left alone.

    So a collection has less to look through as well, during which nothing else would be done.
    """
    gc.freeze()
    gc.set_threshold(_USUAL)
