"""How a request is signed: the profile of RFC 9421 that client and server share.

``docs/authentication.md`` is the specification. Here are its names, its limits, and the two values
that both sides compute: the content digest and the address that is signed. Signing is in
``cli.signing``, judging in ``adapters.identity.signatures``.
"""

import base64
import hashlib
import re
from datetime import timedelta

from callpoint.domain.errors import RequestError

LABEL = "sig1"
TAG = "callpoint"
ALGORITHM = "ed25519"

COMPONENTS = ("@method", "@target-uri", "content-digest")
"""Exactly these are signed, in any order: nothing is signed that nobody judges."""

MAX_AGE = timedelta(seconds=60)
MAX_AHEAD = timedelta(seconds=5)
"""How far a client's clock may be ahead of ours; the same span that a target's may (I4)."""

MIN_NONCE_BYTES = 16
MAX_NONCE_BYTES = 64

_DEFAULT_PORTS = {"http": "80", "https": "443"}
# RFC 3986 without user part (credentials do not belong in an address) and fragment (never sent).
_PATH_CHARACTER = r"[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}"
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    rf"(?P<path>/(?:{_PATH_CHARACTER})*)?(?P<query>\?(?:{_PATH_CHARACTER}|\?)*)?"
)


def content_digest(body: bytes) -> str:
    """The Content-Digest field (RFC 9530) of a body; an empty body has one too."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return f"sha-256=:{digest}:"


def encode_nonce(nonce: bytes) -> str:
    """A nonce as it is sent: base64url without padding."""
    return base64.urlsafe_b64encode(nonce).rstrip(b"=").decode()


def split_url(url: str) -> tuple[str, str]:
    """An absolute URL as origin (scheme, host, port) and what follows it.

    The origin is in the one spelling that is signed: lower case, without a default port. Path and
    query stay as they are, but that an empty path is ``/``. ``origin + rest`` is ``@target-uri``.

    Raises:
        RequestError: It is no absolute URL, has a user part or a fragment, or holds a character
            that an encoded URL never has.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise RequestError(
            "this is not an absolute URL without user and fragment",
            way_out="write scheme://host[:port]/path with everything else percent-encoded",
        )
    scheme, host = match["scheme"].lower(), match["host"].lower()
    port = "" if match["port"] in {None, _DEFAULT_PORTS.get(scheme)} else f":{match['port']}"
    return f"{scheme}://{host}{port}", (match["path"] or "/") + (match["query"] or "")
