"""How a source of incidents proves itself: a bearer token of which we keep the SHA-256 alone."""

import hashlib
import hmac
import re

from callpoint.domain.configuration import Configuration, IncidentSource
from callpoint.domain.errors import AuthenticationError

_SCHEME = "bearer"
_MAX_TOKEN = 512
_HEX_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_NOTHING = "0" * 64  # no known value has this hash; compared with when there is no such source


def authenticate_source(
    configuration: Configuration, source_id: str, authorization: str | None
) -> IncidentSource:
    """The source of that name, if the ``Authorization`` field holds its token.

    Constant time in the token. Whether there is no such source or the token is wrong, the answer
    is the same.

    Raises:
        AuthenticationError: It is not proven.
    """
    source = configuration.sources.get(source_id)
    known = source.token_sha256 if source else _NOTHING
    token = _token(authorization)
    given = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
    # A configured value that is no hash never matches; compare_digest takes ASCII only.
    expected = known.lower() if _HEX_SHA256.fullmatch(known) else _NOTHING
    matches = hmac.compare_digest(given, expected)
    # The empty token is none, even if somebody configured its hash.
    if not (matches and token) or source is None:
        raise AuthenticationError(
            "no incident source of that name has this token",
            way_out="send `Authorization: Bearer TOKEN`, and compare the SHA-256 of the token "
            "with token_sha256 of the source in the configuration",
        )
    return source


def _token(authorization: str | None) -> str:
    """The token of a bearer field, empty for anything else."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == _SCHEME and len(token) <= _MAX_TOKEN else ""
