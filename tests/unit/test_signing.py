"""The client's half: what cannot be signed. What is signed is sent: test_cli_transport."""

import pytest

from callpoint.cli.signing import sign_request
from callpoint.domain.errors import RequestError
from tests.fakes.clock import START
from tests.fakes.signing import KEY, NONCE, ORIGIN


@pytest.mark.parametrize("changed", [{"method": "post"}, {"principal": "änä"}])
def test_what_the_profile_cannot_say_is_not_signed(changed):
    """A lower-case method or a name outside ASCII is refused when signing, with our error."""
    with pytest.raises(RequestError, match="cannot be signed"):
        sign_request(
            **{"method": "POST", "principal": "ana-laptop"} | changed,
            url=f"{ORIGIN}/v1",
            body=b"",
            key=KEY,
            now=START,
            nonce=NONCE,
        )
