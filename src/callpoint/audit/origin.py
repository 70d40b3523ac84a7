"""The log's origins: ``callpoint/<id>`` at first, ``callpoint/<id>/<n>`` after recoveries."""


def generation(base: str, origin: str) -> int:
    """1 for the installation's own origin, n for ``base/n`` after a recovery, 0 for another log."""
    if origin == base:
        return 1
    prefix, _, tail = origin.rpartition("/")
    is_number = tail.isascii() and tail.isdigit() and not tail.startswith("0")
    return int(tail) if prefix == base and is_number and tail != "1" else 0
