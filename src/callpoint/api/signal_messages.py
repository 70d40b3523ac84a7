"""Bodies of the Shared Signals endpoints; the members' names are the standards' own."""

from typing import TypeVar

import msgspec

from callpoint.api.i_json import read_object
from callpoint.domain.errors import RequestError
from callpoint.domain.security_event import CAEP
from callpoint.domain.signal_stream import EVERY_KIND, Delivery, SignalStream
from callpoint.domain.untrusted import printable

METHODS = {Delivery.PUSH: "urn:ietf:rfc:8935", Delivery.POLL: "urn:ietf:rfc:8936"}

MAX_TOKENS = 1000
"""Most ``jti`` in one poll: far more than one answer ever held."""

_MAX_TEXT = 1000
_B = TypeVar("_B", bound=msgspec.Struct)


class Scheme(msgspec.Struct, frozen=True):
    """How a caller proves itself (SSF 1.0, 7.1.1)."""

    spec_urn: str


SCHEMES = (Scheme("urn:ietf:rfc:6750"), Scheme("urn:ietf:rfc:9421"))
"""Bearer tokens and signed requests."""


class SsfConfiguration(msgspec.Struct, frozen=True):
    """The transmitter's metadata (SSF 1.0, section 7)."""

    issuer: str
    jwks_uri: str
    configuration_endpoint: str
    status_endpoint: str
    verification_endpoint: str
    spec_version: str = "1_0"
    delivery_methods_supported: tuple[str, ...] = tuple(METHODS.values())
    authorization_schemes: tuple[Scheme, ...] = SCHEMES
    default_subjects: str = "ALL"


class DeliveryView(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a stream is delivered; the push receiver's own secret is not shown."""

    method: str
    endpoint_url: str = ""


class StreamView(msgspec.Struct, frozen=True):
    """A stream's configuration (SSF 1.0, 8.1.1)."""

    stream_id: str
    iss: str
    aud: str
    events_supported: tuple[str, ...]
    events_requested: tuple[str, ...]
    events_delivered: tuple[str, ...]
    delivery: DeliveryView
    description: str


class StatusView(msgspec.Struct, frozen=True):
    """A stream's status (SSF 1.0, 8.1.2). Callpoint pauses none."""

    stream_id: str
    status: str = "enabled"


class VerificationRequest(msgspec.Struct, frozen=True):
    """What a receiver asks for (SSF 1.0, 8.1.4.2). Members that are not known are passed over."""

    stream_id: str
    state: str = ""

    def __post_init__(self) -> None:
        if len(self.state) > _MAX_TEXT:
            raise ValueError(f"state has at most {_MAX_TEXT} characters")


class SetError(msgspec.Struct, frozen=True):
    """Why a token cannot be taken (RFC 8936, 2.2)."""

    err: str
    description: str = ""


class PollRequest(msgspec.Struct, frozen=True, rename="camel"):
    """RFC 8936, 2.2. Members that are not known are passed over, as it asks."""

    max_events: int | None = None
    return_immediately: bool = False
    ack: tuple[str, ...] = ()
    set_errs: dict[str, SetError] = {}

    def __post_init__(self) -> None:
        if self.max_events is not None and self.max_events < 0:
            raise ValueError("maxEvents is not negative")
        if max(len(self.ack), len(self.set_errs)) > MAX_TOKENS:
            raise ValueError(f"at most {MAX_TOKENS} tokens are confirmed at once")


class PollAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """RFC 8936, 2.3."""

    sets: dict[str, str]
    more_available: bool


def read_body(body: bytes, kind: type[_B]) -> _B:
    """The body as one of the above, read so that no other reader finds something else in it.

    Raises:
        RequestError: It is something else.
    """
    try:
        return msgspec.convert(read_object(body), kind)
    except msgspec.ValidationError as error:
        raise RequestError(f"the body is not what it should be: {printable(str(error))}") from error


def stream_view(stream: SignalStream, issuer: str, base: str) -> StreamView:
    """What its receiver may know of it."""
    told = tuple(CAEP + kind for kind in stream.events)
    url = stream.url if stream.delivery is Delivery.PUSH else f"{base}/poll/{stream.id}"
    return StreamView(
        stream_id=stream.id,
        iss=issuer,
        aud=stream.audience,
        events_supported=tuple(CAEP + kind for kind in EVERY_KIND),
        events_requested=told,
        events_delivered=told,
        delivery=DeliveryView(METHODS[stream.delivery], url),
        description="configured by this installation's governors",
    )
