"""What a signed request says, read by a parser that accepts only the serialised form.

Everything here can be refused without a key. Nothing of what is read is proven.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from callpoint.domain.errors import AuthenticationError
from callpoint.domain.request_signature import (
    ALGORITHM,
    COMPONENTS,
    LABEL,
    MAX_AGE,
    MAX_AHEAD,
    MAX_NONCE_BYTES,
    MIN_NONCE_BYTES,
    TAG,
)
from callpoint.ports.identity import SignedRequest

_FIELDS: Final = ("signature-input", "signature", "content-digest")
_MAX_FIELD = 1024  # a principal's name, a nonce and the rest of our profile need half of it
_MAX_HEADERS = 32 * 1024  # uvicorn's own limit is twice as much

# The serialised form of RFC 8941 for exactly one member. No comma, quote or backslash can occur
# in a string, so a second signature, or a field sent twice and joined, matches none of these.
_STRING = r'"[!#-+\--\[\]-~]*"'
_INTEGER = r"(?:0|-?[1-9][0-9]{0,14})"  # a second spelling of a number is not the serialised one
_INPUT = re.compile(
    rf"{LABEL}=\((?P<components>{_STRING}(?: {_STRING})*)\)(?P<parameters>(?:;[a-z]+={_STRING}"
    rf"|;[a-z]+={_INTEGER})+)"
)
_PARAMETER = re.compile(rf";([a-z]+)=(?:({_STRING})|({_INTEGER}))")
# 64 bytes end in four unused bits. Only with these zero (RFC 4648, 3.5) is there one spelling of a
# signature, and one tombstone of a signed order, which is named after it.
SIGNATURE = re.compile(rf"{LABEL}=:[A-Za-z0-9+/]{{85}}[AQgw]==:")
_NONCE = re.compile(r"[A-Za-z0-9_-]+")

_STRINGS = {"alg", "keyid", "nonce", "tag"}
_INTEGERS = {"created", "expires"}
_OPTIONAL = {"expires"}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a Signature-Input says; nothing of it is proven."""

    components: tuple[str, ...]
    parameters: Mapping[str, int | str]
    keyid: str
    nonce: str
    created: int
    expires: int | None


def parse_signature_input(field: str) -> Claims:
    """Untrusted text to claims: the profile's components and parameters, no more and no less.

    Raises:
        AuthenticationError: Anything else.
    """
    match = _INPUT.fullmatch(field)
    if match is None:
        raise malformed("Signature-Input", f"one signature labelled {LABEL}, as RFC 8941 writes it")
    components = tuple(part[1:-1] for part in match["components"].split(" "))
    if sorted(components) != sorted(COMPONENTS):
        raise AuthenticationError(
            "the signature does not cover exactly what it must",
            way_out=f"cover {', '.join(COMPONENTS)}, each once, and nothing else",
        )
    return _claims(components, _PARAMETER.findall(match["parameters"]))


def _claims(components: tuple[str, ...], found: list[tuple[str, str, str]]) -> Claims:
    names = sorted(name for name, _, _ in found)
    if set(names) - _OPTIONAL != _STRINGS | _INTEGERS - _OPTIONAL or len(set(names)) != len(names):
        raise AuthenticationError(
            "the signature's parameters are not those of this profile",
            way_out="send created, nonce, keyid, alg and tag, each once; expires is optional",
        )
    strings = {name: text[1:-1] for name, text, _ in found if text}
    integers = {name: int(digits) for name, _, digits in found if digits}
    if set(strings) != _STRINGS:
        raise AuthenticationError(
            "a parameter of the signature has the wrong type",
            way_out="created and expires are integers, the others are strings",
        )
    if strings["alg"] != ALGORITHM or strings["tag"] != TAG:
        raise AuthenticationError(
            "the signature is of another algorithm or for another purpose",
            way_out=f'sign with alg="{ALGORITHM}" and tag="{TAG}"',
        )
    return Claims(
        components=components,
        parameters={**strings, **integers},
        keyid=strings["keyid"],
        nonce=_checked_nonce(strings["nonce"]),
        created=integers["created"],
        expires=integers.get("expires"),
    )


def _checked_nonce(nonce: str) -> str:
    # Base64url without padding has 4 characters for 3 bytes.
    size = len(nonce) * 3 // 4
    if not _NONCE.fullmatch(nonce) or not MIN_NONCE_BYTES <= size <= MAX_NONCE_BYTES:
        raise AuthenticationError(
            "the nonce is too short, too long or not base64url",
            way_out=f"send {MIN_NONCE_BYTES} random bytes as base64url without padding",
        )
    return nonce


def check_time(claims: Claims, now: datetime, since: datetime | None = None) -> None:
    """Signed within the last minute, and not before ``since``. Raises AuthenticationError."""
    if since is not None and claims.created < int(since.timestamp()):
        raise AuthenticationError(
            "the request was signed before the database was recovered or answered; whether it was"
            " accepted then is not known any more",
            way_out="send it again: it is signed anew",
        )
    age = now.timestamp() - claims.created
    if age > MAX_AGE.total_seconds():
        raise AuthenticationError(
            f"the request was signed {math.ceil(age)} s ago by our clock; "
            f"at most {MAX_AGE.total_seconds():.0f} s are allowed",
            way_out="send it when it is signed; if it was, set your clock forward by that much",
        )
    if -age > MAX_AHEAD.total_seconds():
        raise AuthenticationError(
            f"the request was signed {math.ceil(-age)} s in the future by our clock; "
            f"at most {MAX_AHEAD.total_seconds():.0f} s are allowed",
            way_out="set your clock back by that much",
        )
    late = 0.0 if claims.expires is None else now.timestamp() - claims.expires
    if late > 0:
        raise AuthenticationError(
            f"the signature expired {math.ceil(late)} s ago by our clock",
            way_out="sign again, or leave `expires` out",
        )


def read_fields(request: SignedRequest) -> dict[str, str]:
    """The three fields that matter, each present once and short; headers as a whole are bounded."""
    if sum(len(name) + len(value) for name, value in request.headers.items()) > _MAX_HEADERS:
        raise AuthenticationError(
            f"the request's headers are longer than {_MAX_HEADERS} characters",
            way_out="send fewer or shorter ones",
        )
    return {name: _only(name, _values(request.headers, name)) for name in _FIELDS}


def _values(headers: Mapping[str, str], wanted: str) -> Iterator[str]:
    # A mapping may hold one name in two spellings; that is a field sent twice.
    return (value.strip(" \t") for name, value in headers.items() if name.lower() == wanted)


def _only(name: str, values: Iterator[str]) -> str:
    found = list(values)
    if not found:
        raise AuthenticationError(
            f"the request is not signed: it has no {name.title()} field",
            way_out="sign it as docs/authentication.md says; `callpoint` does so by itself",
        )
    if len(found) > 1 or len(found[0]) > _MAX_FIELD or not found[0].isascii():
        raise malformed(name.title(), f"one field of at most {_MAX_FIELD} ASCII characters")
    return found[0]


def malformed(field: str, expected: str) -> AuthenticationError:
    """The error for a field that is not in the one form."""
    return AuthenticationError(
        f"{field} is malformed or there is more than one", way_out=f"send {expected}"
    )
