"""The gateway's own way to a target: TLS as the credential says, SCRAM, and both sides proven.

A server that asks for a password in the clear or for MD5, or that asks for nothing, is not
believed: anybody could do that.
"""

import asyncio
import base64
import ssl
import struct
from dataclasses import dataclass, field
from pathlib import Path

from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    ConfigError,
    RequestError,
    TargetError,
)
from callpoint.domain.untrusted import printable
from callpoint.gateways.postgres import scram, startup
from callpoint.gateways.postgres.frames import HEADER, message
from callpoint.gateways.postgres.link import GoneError, Link
from callpoint.gateways.postgres.messages import error_fields, parameter
from callpoint.ports.clock import Random
from callpoint.ports.credential import Credential

_LIMITS = {
    **dict.fromkeys(b"RSKZ", 64 * 1024),
    **dict.fromkeys(b"EN", 1024 * 1024),
}
_KIND = struct.Struct("!i")
_OK, _CLEAR, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
_CLOSED_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Way:
    """Where a target is and how it is reached.

    Attributes:
        sslmode: libpq's word; what libpq would only prefer is tried first and may fail.
        roots: PEM file; empty for the system's.
    """

    host: str
    port: int
    dbname: str
    sslmode: str
    roots: str

    @classmethod
    def of(cls, credential: Credential, roots: str) -> "Way":
        """What a credential's endpoint says.

        Raises:
            TargetError: It is no PostgreSQL server's.
        """
        where = credential.endpoint
        try:
            return cls(
                where["host"], int(where["port"]), where["dbname"],
                where.get("sslmode", "prefer"), roots,
            )  # fmt: skip
        except (KeyError, ValueError) as error:
            raise TargetError(
                f"the lease's credential does not say where its server is: {error}",
                way_out="put the gateway before a target with the connector postgresql",
            ) from error

    def context(self) -> ssl.SSLContext:
        """For TLS with the target.

        Raises:
            ConfigError: The authorities' file cannot be read.
        """
        verifies = self.sslmode in ("verify-ca", "verify-full")
        if not verifies:
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE  # libpq's `require`: encrypted, SCRAM proves the rest
            return made
        if self.roots and not Path(self.roots).is_file():
            raise ConfigError(f"there is no file {self.roots} with authorities for targets")
        try:
            made = ssl.create_default_context(cafile=self.roots or None)
        except ssl.SSLError as error:
            raise ConfigError(f"{self.roots} holds no certificates: {error}") from error
        made.check_hostname = self.sslmode == "verify-full"
        return made

    async def dial(self) -> Link:
        """A connection on which nothing was said yet, in TLS if it must be or can be.

        Raises:
            TargetError: Nobody is there, or not in TLS.
        """
        loop = asyncio.get_running_loop()
        try:
            _, link = await loop.create_connection(lambda: Link(_LIMITS), self.host, self.port)
        except OSError as error:
            raise TargetError(
                "the target does not answer", way_out="look at the target; then connect again"
            ) from error
        if self.sslmode in ("disable", "allow"):
            return link
        is_tls = False
        try:
            link.write(startup.tls_request())
            if await link.octet() == ord("S"):
                await link.wrap(self.context(), ahead=b"", name=self.host)
                is_tls = True
        except (GoneError, RequestError) as error:
            link.abort()
            raise _no_tls() from error
        except BaseException:
            link.abort()
            raise
        if not is_tls and self.sslmode != "prefer":
            link.abort()
            raise _no_tls()
        return link


@dataclass(slots=True)
class Upstream:
    """A session at the target.

    Attributes:
        link: To it; ready for queries.
        way: How it was reached.
        parameters: What the server reports.
        pid: Its process there.
        key: Who knows it can cancel.
    """

    link: Link
    way: Way
    parameters: dict[str, str] = field(default_factory=dict)
    pid: int = 0
    key: bytes = b""

    async def cancel(self) -> None:
        """End the statement that runs now. When this returns, the server has been told.

        Raises:
            TargetError: It was not reached.
        """
        link = await self.way.dial()
        try:
            link.write(startup.cancel_request(self.pid, self.key))
            async with asyncio.timeout(_CLOSED_WITHIN):
                while True:
                    await link.more()
        except (GoneError, TimeoutError):
            pass  # it closes when it has sent the signal, and says nothing
        finally:
            link.abort()


async def log_in(
    way: Way, credential: Credential, settings: dict[str, str], random: Random
) -> Upstream:
    """Open a session with a credential.

    Args:
        way: Where the target is.
        credential: The lease's.
        settings: Of the session from its first moment; RESET goes back to these.
        random: For the nonce.

    Raises:
        TargetError: The target is not there, refuses, or is not who it should be.
    """
    upstream = Upstream(await way.dial(), way)
    link = upstream.link
    try:
        link.write(
            startup.startup_body({"user": credential.username, "database": way.dbname, **settings})
        )
        await _authenticate(link, credential, random)
        await _become_ready(upstream)
    except GoneError as error:
        raise TargetError(
            "the target closed the connection during the login",
            way_out="look at the target's log; then connect again",
        ) from error
    except AuthenticationError as error:
        link.abort()
        raise TargetError(error.message, way_out=error.way_out) from error
    except (RequestError, struct.error) as error:
        link.abort()
        raise TargetError("the target does not speak PostgreSQL's protocol") from error
    except BaseException:
        link.abort()
        raise
    return upstream


async def _authenticate(link: Link, credential: Credential, random: Random) -> None:
    side: scram.ClientSide | None = None
    is_proven = False
    while True:
        frame = await _answer(link, b"R")
        (kind,) = _KIND.unpack_from(frame, HEADER)
        words = frame[HEADER + _KIND.size :]
        if kind == _SASL and side is None:
            side = _client_side(link, words.split(b"\0"), credential, random)
            name = scram.BOUND if side.flag == "p" else scram.PLAIN
            first = side.first()
            body = name.encode() + b"\0" + _KIND.pack(len(first)) + first
            link.write(message(b"p", body))
        elif kind == _SASL_CONTINUE and side is not None and not is_proven:
            link.write(message(b"p", side.final(words)))
        elif kind == _SASL_FINAL and side is not None:
            side.check(words)
            is_proven = True
        elif kind == _OK and is_proven:
            return
        else:
            raise _not_proven(kind)


def _client_side(
    link: Link, offered: list[bytes], credential: Credential, random: Random
) -> scram.ClientSide:
    if scram.PLAIN.encode() not in offered and scram.BOUND.encode() not in offered:
        raise _not_proven(_SASL)
    nonce = base64.b64encode(random.token(scram.NONCE_SIZE)).decode()
    tls = link.tls
    if tls is None:
        return scram.ClientSide(credential.secret, nonce, "n")
    if scram.BOUND.encode() not in offered:
        return scram.ClientSide(credential.secret, nonce, "y")
    certificate = tls.getpeercert(binary_form=True) or b""
    return scram.ClientSide(credential.secret, nonce, "p", scram.end_point(certificate))


async def _become_ready(upstream: Upstream) -> None:
    while True:
        frame = await _answer(upstream.link, b"SKZ")
        match frame[:1]:
            case b"S":
                name, value = parameter(frame)
                upstream.parameters[name] = value
            case b"K":
                upstream.pid, upstream.key = startup.read_key_data(frame[HEADER:])
            case _:
                return


async def _answer(link: Link, kinds: bytes) -> bytes:
    while True:
        frame = await link.message()
        kind = frame[:1]
        if kind in kinds:
            return frame
        if kind == b"E":
            raise refused(frame)
        if kind != b"N":
            raise RequestError("unexpected message")


def refused(frame: bytes) -> CallpointError:
    """What the target said, as an error."""
    fields = error_fields(frame)
    return TargetError(
        f"the target refuses: {printable(fields.get('M', 'no reason given'))}",
        code=fields.get("C", ""),
        way_out="show this to whoever runs the gateway",
    )


def _no_tls() -> TargetError:
    return TargetError(
        "the target does not speak TLS as its configuration says",
        way_out="look at the target's TLS settings and at what is between",
    )


def _not_proven(kind: int) -> TargetError:
    how = {_OK: "nothing", _CLEAR: "a password in the clear", _MD5: "MD5"}.get(kind, "no SCRAM")
    return TargetError(
        f"the target asks for {how}, so it does not prove itself",
        way_out="let the target ask for scram-sha-256 (pg_hba.conf)",
    )
