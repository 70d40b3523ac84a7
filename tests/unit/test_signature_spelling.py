"""A signed request has one spelling, so that it is one request by whatever it is named."""

import base64

import pytest

from callpoint.domain.errors import AuthenticationError
from tests.fakes.signing import Door
from tests.unit.test_signatures import GOOD, resigned, signed


async def test_a_signature_has_one_spelling():
    """Other letters for the same 64 bytes are refused: they would be a second tombstone's name."""
    signature = signed()["signature"]
    raw = base64.b64decode(signature[6:-1])
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    spellings = [f"{signature[:-4]}{letter}==:" for letter in letters]
    same = [text for text in spellings if base64.b64decode(text[6:-1]) == raw]
    assert len(same) == 16
    for text in same:
        if text != signature:
            with pytest.raises(AuthenticationError, match="Signature is malformed"):
                await Door().knock(signed() | {"signature": text})


@pytest.mark.parametrize("method", ["", "GET\nPOST", "PO\ud800ST", 'POST\n"x": y', "P\u00d6ST"])
async def test_a_method_is_one_word(method):
    """A method that would write lines of its own into what is signed is refused, signed or not."""
    headers = resigned(GOOD, method=method.encode(errors="ignore").decode())
    with pytest.raises(AuthenticationError, match="method"):
        await Door().knock(headers, method=method)
