"""Kill orders that were received without the store, judged again before they are merged (I13)."""

from collections.abc import Callable, Collection
from urllib.parse import urlsplit

import msgspec

from callpoint.adapters.identity.signatures.authenticator import SignatureAuthenticator
from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import AuthenticationError, ConfigError
from callpoint.domain.tombstone import (
    MAX_ORDER,
    SIGNED_FIELDS,
    Tombstone,
    offline_origin,
    tombstone_id,
)
from callpoint.ports.clock import Clock
from callpoint.ports.identity import Caller, SignedRequest

_METHOD, _PATH = "POST", "/v1/kill"
_MAX_ORIGIN = 300
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a kill request."""

    scope: str
    about: str = ""


class SignedOrderJudge:
    """Implements ``ports.identity.OrderJudge``.

    A tombstone says for which addresses its node answered. They are believed when this process
    answers for them too, when they are loopback ones, or when they stand for no server at all: a
    kill that was signed for another installation counts for nothing here.

    Args:
        installation: Its id.
        public: Public addresses of this installation.
        clock: Never asked; an authenticator has one.
    """

    def __init__(self, installation: str, public: Collection[str], clock: Clock) -> None:
        self._ours = frozenset({*public, offline_origin(installation)})
        self._clock = clock

    def judge(self, tombstone: Tombstone, configuration: Configuration) -> Caller:
        order = tombstone.order
        if not order.origins or not all(map(self._is_ours, order.origins)):
            raise AuthenticationError("it was signed for an address that is not ours")
        if set(order.headers) != set(SIGNED_FIELDS):
            raise AuthenticationError("its fields are not those that are signed")
        if len(order.body) > MAX_ORDER:
            raise AuthenticationError("it is too long for an order")
        authenticator = self._authenticator(lambda: configuration, order.origins)
        request = SignedRequest(order.method, order.url, order.headers, order.body)
        caller = authenticator.judge(request, tombstone.at).caller
        if tombstone.id != tombstone_id(order.headers):
            raise AuthenticationError("it has the name of another order")
        said = _parse(order.body)
        is_kill = order.method == _METHOD and urlsplit(order.url).path == _PATH
        if not is_kill or said is None or said.scope != tombstone.scope:
            raise AuthenticationError("what was signed is not the kill that it says")
        names = {said.about, said.about.lower()}  # incidents are named in lower case
        if tombstone.about not in names or tombstone.principal != caller.principal.id:
            raise AuthenticationError("what was signed is another kill than it says")
        return caller

    def _authenticator(
        self, configuration: Callable[[], Configuration], origins: tuple[str, ...]
    ) -> SignatureAuthenticator:
        try:
            return SignatureAuthenticator(configuration, _NoBook(), self._clock, origins=origins)
        except ConfigError as error:
            raise AuthenticationError(f"its addresses cannot be read: {error.message}") from error

    def _is_ours(self, origin: str) -> bool:
        if origin in self._ours:
            return True
        if len(origin) > _MAX_ORIGIN:
            return False
        try:
            return urlsplit(origin).hostname in _LOOPBACK
        except ValueError:
            return False


class _NoBook:
    """Implements ``NonceBook`` for who only judges: nothing is accepted twice by its record."""

    async def spend(self, key_id: str, nonce: str) -> bool:  # noqa: ARG002 -- the port's
        return False


def _parse(body: bytes) -> _Said | None:
    try:
        return msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
