"""A client arrives: TLS, its first words, and its proof that it knows a connection secret."""

import base64
import ssl
import struct
from dataclasses import dataclass, field
from pathlib import Path

from callpoint.domain.errors import AuthenticationError, ConfigError, RequestError
from callpoint.gateways.postgres import scram
from callpoint.gateways.postgres.frames import HEADER, message
from callpoint.gateways.postgres.link import Link
from callpoint.gateways.postgres.settings import GatewaySettings
from callpoint.gateways.postgres.startup import Cancel, Startup, Wish, read_first
from callpoint.ports.authority import Authority
from callpoint.ports.clock import Random

_SASL, _SASL_CONTINUE, _SASL_FINAL = 10, 11, 12
_KIND = struct.Struct("!i")
AUTHENTICATION_OK = message(b"R", _KIND.pack(0))


@dataclass(slots=True)
class Front:
    """How this gateway proves itself to clients.

    Attributes:
        context: For TLS; None without a certificate.
        end_point: What a login is bound to (RFC 5929).
    """

    context: ssl.SSLContext | None = None
    end_point: bytes = b""

    @classmethod
    def of(cls, settings: GatewaySettings) -> "Front":
        """Read the certificate.

        Raises:
            ConfigError: It is no certificate, or the key is another's.
        """
        if not settings.certificate:
            return cls()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["postgresql"])
        try:
            context.load_cert_chain(settings.certificate, settings.key)
            pem = Path(settings.certificate).read_text(encoding="ascii")
            begin = pem.index("-----BEGIN CERTIFICATE-----")
            end = pem.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")
            own = ssl.PEM_cert_to_DER_cert(pem[begin:end])
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"certificate and key of the gateway {settings.name} cannot be used: {error}",
                way_out="name PEM files that belong together, the gateway's certificate first",
            ) from error
        return cls(context, scram.end_point(own))


@dataclass(slots=True)
class Login:
    """One client on its way in.

    Attributes:
        link: To it.
        source: Its IP address.
    """

    link: Link
    front: Front
    settings: GatewaySettings
    random: Random
    source: str = field(init=False)

    def __post_init__(self) -> None:
        self.source = self.link.source

    async def greeting(self) -> Startup | Cancel:
        """TLS, if it wants or must have it, and its first words.

        Raises:
            RequestError: It speaks something else.
            AuthenticationError: It stays in the clear where it may not.
            GoneError: It left.
        """
        asked: set[Wish] = set()
        while True:
            first = read_first(await self.link.first())
            match first:
                case Wish():
                    if first in asked or self.link.tls is not None:
                        raise RequestError("the same kind of encryption is asked for twice")
                    asked.add(first)
                    if first is Wish.TLS and self.front.context is not None:
                        await self.link.wrap(self.front.context, ahead=b"S")
                    else:
                        self.link.write(b"N")
                case Cancel():
                    return first
                case Startup():
                    if self.link.tls is None and not self.settings.plaintext_is_fine:
                        raise AuthenticationError(
                            "this gateway speaks in TLS only",
                            way_out="connect with sslmode=require",
                        )
                    return first

    async def prove(self, authority: Authority, connection: str) -> None:
        """Let the client prove itself, and prove that we know its verifier.

        Raises:
            RequestError: It speaks something else.
            AuthenticationError: It does not know the secret.
            GoneError: It left.
            UnavailableError: The authority cannot say.
        """
        is_tls = self.link.tls is not None
        offered = (scram.BOUND, scram.PLAIN) if is_tls else (scram.PLAIN,)
        self._say(_SASL, b"".join(name.encode() + b"\0" for name in offered) + b"\0")
        mechanism, first = _initial(await self.link.message())
        if mechanism not in offered:
            raise RequestError(
                "the client does not speak SCRAM-SHA-256", way_out="use a client of today"
            )
        side = scram.ServerSide(
            greeting=await authority.greet(connection, self.source),
            nonce=base64.b64encode(self.random.token(scram.NONCE_SIZE)).decode(),
            mechanism=mechanism,
            bound_to=self.front.end_point if is_tls else b"",
        )
        self._say(_SASL_CONTINUE, side.first(first))
        self._say(_SASL_FINAL, side.final((await self.link.message())[HEADER:]))

    def _say(self, kind: int, words: bytes) -> None:
        self.link.write(message(b"R", _KIND.pack(kind) + words))


def _initial(frame: bytes) -> tuple[str, bytes]:
    """Mechanism and first message of a SASLInitialResponse."""
    name, found, rest = frame[HEADER:].partition(b"\0")
    if found and len(rest) >= _KIND.size:
        (length,) = _KIND.unpack_from(rest)
        words = rest[_KIND.size :]
        if length == len(words):
            return name.decode(errors="replace"), words
    raise RequestError("this is no beginning of a SCRAM login")
