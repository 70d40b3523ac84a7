"""What is kept of a receiver's answer."""

import httpx
import pytest

from callpoint.adapters.signals.http import HttpReceivers
from callpoint.domain.signal_stream import Delivery, SignalStream

_STREAM = SignalStream("s", Delivery.PUSH, "a", url="https://r.example/", authorization_env="R")


@pytest.mark.parametrize("shown", [r"ab\/c+d", r"ab\u002fc+d", r"\u0061b/c\u002Bd", "ab/c+d"])
async def test_a_secret_that_was_escaped_as_json_allows_is_hidden(shown):
    """Many a library escapes every slash, and a base64 token has some."""
    body = f'{{"err": "access_denied", "description": "not Bearer {shown} here"}}'
    answer = httpx.Response(400, stream=httpx.ByteStream(body.encode()))
    transport = httpx.MockTransport(lambda _: answer)
    async with httpx.AsyncClient(transport=transport) as client:
        receipt = await HttpReceivers(client, lambda _: "Bearer ab/c+d").push(_STREAM, "token")
    assert b"[hidden] here" in receipt.body
    assert b"c+d" not in receipt.body
