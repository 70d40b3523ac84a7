"""How many of what, in words: one is not several."""


def plural(count: int, one: str, many: str = "") -> str:
    """``1 approval``, ``2 approvals``; ``many`` where it is more than an s.

    ``one`` may hold the verb too: ``1 witness must``, ``2 witnesses must``.
    """
    return f"{count} {one if count == 1 else many or one + 's'}"
