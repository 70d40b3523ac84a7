"""Changes cases without knowing what they mean."""

import random
from collections.abc import Sequence

LONGEST = 1 << 16
"""Cases do not grow beyond it: what is about length, a target makes itself."""

_MANY = (2, 3, 17, 64, 300)
_NUMBERS = (b"0", b"-1", b"1", b"127", b"255", b"65536", b"2147483648", b"9" * 20, b"1e309", b"0.1")
_BYTES = b"\x00\x01\x7f\x80\xff\r\n\t \"'\\`;:,=.-_%&$()[]{}<>"


def mutated(
    chance: random.Random, case: bytes, pool: Sequence[bytes], words: Sequence[bytes]
) -> bytes:
    """The case with one to four changes; it takes parts from others of the pool."""
    found = bytearray(case)
    for _ in range(chance.randrange(1, 5)):
        _change(chance, found, pool, words)
    return bytes(found[:LONGEST])


def _change(
    chance: random.Random, found: bytearray, pool: Sequence[bytes], words: Sequence[bytes]
) -> None:
    at = chance.randrange(len(found) + 1)
    until = min(len(found), at + chance.choice((1, 1, 2, 4, 16, 64)))
    match chance.randrange(8):
        case 0 if at < len(found):
            found[at] ^= 1 << chance.randrange(8)
        case 1:
            found[at:at] = bytes([chance.choice(_BYTES)])
        case 2:
            del found[at:until]
        case 3:
            found[at:at] = found[at:until] * chance.choice(_MANY)
        case 4 if words:
            found[at:until] = chance.choice(words)
        case 5:
            found[at:until] = chance.choice(_NUMBERS)
        case 6 if pool:
            other = chance.choice(pool)
            start = chance.randrange(len(other) + 1)
            found[at:until] = other[start : start + chance.choice((8, 64, 512))]
        case _:
            del found[at:]
            # Cut, or cut and filled with what any reader must survive.
            found.extend(chance.choice((b"", b"\x00", b"\xff" * 8)))
