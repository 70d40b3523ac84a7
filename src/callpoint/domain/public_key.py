"""Whether 32 bytes are an Ed25519 public key that binds its owner.

Libraries check the length only. A point of small order as key makes signatures verify that nobody
made, for any message: such a "governor" would sign everything. (RFC 8032 section 5.1.3 decodes
points; the eight small-order points are the torsion subgroup of the curve.)
"""

import base64
import binascii

_PRIME = 2**255 - 19
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME
_LENGTH = 32
_SIGN_BIT = 1 << 255


def weakness(text: str) -> str:
    """Why ``text`` (standard base64) is not a usable public key, or empty when it is."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return "not standard base64"
    if len(raw) != _LENGTH:
        return f"{len(raw)} bytes instead of {_LENGTH}"
    if base64.b64encode(raw).decode() != text:
        return "base64 with a second spelling"
    y = int.from_bytes(raw, "little") & (_SIGN_BIT - 1)
    if y >= _PRIME or not _is_on_curve(y):
        return "not a point of the curve"
    if _has_small_order(y):
        return "a point of small order, with which anybody can sign"
    return ""


def _is_on_curve(y: int) -> bool:
    """Whether ``x² = (y² - 1) / (d·y² + 1)`` has a root."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _PRIME) % _PRIME
    return square == 0 or pow(square, (_PRIME - 1) // 2, _PRIME) == 1


def _has_small_order(y: int) -> bool:
    """Orders 1, 2 and 4 have y = 1, -1 and 0; doubling a point of order 8 leads to y = 0."""
    return y in {0, 1, _PRIME - 1} or (_D * pow(y, 4, _PRIME) + 2 * y * y - 1) % _PRIME == 0
