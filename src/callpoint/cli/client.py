"""The API, called: one method per question, errors rebuilt, failures of the way said in words."""

import re
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from callpoint.api import messages as api
from callpoint.api.connection_messages import ConnectionView, ConnectionWish
from callpoint.api.log_messages import AskedView, InclusionView, LogView
from callpoint.api.session_messages import Resumption, SessionList, SessionView
from callpoint.cli.keyring import PrincipalKey
from callpoint.cli.machine import Machine
from callpoint.cli.problems import error_of, unreachable
from callpoint.cli.signing import sign_request
from callpoint.cli.transport import (
    Address,
    Answer,
    EndlessError,
    Network,
    Request,
    UnansweredError,
    UnreachedError,
)
from callpoint.domain.approval import Verdict, Vote
from callpoint.domain.declaration import Declaration
from callpoint.domain.errors import (
    AuthenticationError,
    CallpointError,
    NotFoundError,
    RequestError,
    UnavailableError,
)
from callpoint.domain.governance import Published
from callpoint.domain.ids import parse_activation
from callpoint.domain.kill import Killed
from callpoint.domain.request import Ask
from callpoint.domain.request_signature import MIN_NONCE_BYTES, split_url
from callpoint.domain.review import Judgement
from callpoint.domain.session import Resumed
from callpoint.domain.untrusted import printable
from callpoint.domain.untrusted_json import read_json

if TYPE_CHECKING:  # behind these two stands every step of the server
    from callpoint.lifecycle.diagnose import Diagnosis
    from callpoint.lifecycle.posture import Posture

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[0-9A-Za-z._-]+|[0-9A-Fa-f:.]+")
_T = TypeVar("_T")


class NoAnswerError(UnavailableError):
    """The request may have arrived: what it asked for may have been done."""


class Client:
    """Signs, sends, and decodes with the server's own types.

    Args:
        server: Its address, with the scheme.
        key: The caller's.
        machine: Clock, random source and transport.

    Raises:
        RequestError: The address is none.
    """

    def __init__(self, server: str, key: PrincipalKey, machine: Machine) -> None:
        address = _parse_address(server)
        self.server = server.rstrip("/")
        self.principal = key.principal
        self.is_in_clear = address.scheme == "http" and address.host not in _LOOPBACK
        self._key = key.key
        self._machine = machine
        self._transport = machine.transport or Network(address)

    def close(self) -> None:
        """End the connection, where the process does not end with it."""
        self._transport.close()

    # -- whose server this is -----------------------------------------------------------------

    def installation(self) -> api.InstallationView:
        return self._get("/v1/installation", api.InstallationView)

    def checkpoint(self) -> bytes:
        """The newest signed checkpoint, a note."""
        return self._send("GET", "/v1/checkpoint").content

    def status(self) -> api.StatusView:
        return self._get("/v1/status", api.StatusView)

    def diagnosis(self) -> "Diagnosis":
        from callpoint.lifecycle.diagnose import Diagnosis

        return self._get("/v1/diagnosis", Diagnosis)

    def posture(self, target: str = "") -> "Posture":
        from callpoint.lifecycle.posture import Posture

        query = {"target": target} if target else {}
        return self._get("/v1/posture/targets", Posture, query)

    # -- incidents ----------------------------------------------------------------------------

    def incidents(self) -> api.IncidentList:
        return self._get("/v1/incidents", api.IncidentList)

    def declare(self, said: Declaration) -> api.IncidentView:
        return self._post("/v1/incidents", api.IncidentView, said)

    def confirm(self, incident: str) -> api.IncidentView:
        return self._post(f"/v1/incidents/{_part(incident)}/confirm", api.IncidentView)

    def resolve(self, incident: str) -> api.IncidentView:
        return self._post(f"/v1/incidents/{_part(incident)}/resolve", api.IncidentView)

    # -- activations --------------------------------------------------------------------------

    def request(self, ask: Ask) -> api.ActivationView:
        return self._post("/v1/activations", api.ActivationView, ask)

    def activations(self, *, state: str = "", mine: bool = False) -> api.ActivationList:
        query = {"state": state} if state else {}
        if mine:
            query["mine"] = "true"
        return self._get("/v1/activations", api.ActivationList, query)

    def activation(self, activation: str) -> api.ActivationView:
        return self._get(_path(activation), api.ActivationView)

    def statement(self, activation: str, verdict: Verdict) -> api.StatementView:
        query = {"verdict": str(verdict)}
        return self._get(_path(activation, "statement"), api.StatementView, query)

    def vote(self, activation: str, verdict: Verdict, vote: Vote) -> api.ActivationView:
        return self._post(_path(activation, str(verdict)), api.ActivationView, vote)

    def withdraw(self, activation: str) -> api.ActivationView:
        return self._post(_path(activation, "withdraw"), api.ActivationView)

    def issue(self, activation: str) -> api.ActivationView:
        return self._post(_path(activation, "issue"), api.ActivationView)

    def credentials(self, activation: str) -> api.Credentials:
        return self._post(_path(activation, "credentials"), api.Credentials)

    def connection(self, activation: str, wish: ConnectionWish) -> ConnectionView:
        return self._post(_path(activation, "connections"), ConnectionView, wish)

    def sessions(self, activation: str) -> SessionList:
        return self._get(_path(activation, "sessions"), SessionList)

    def resume_sessions(self, activation: str, because: str) -> Resumed:
        said = Resumption(because=because)
        return self._post(_path(activation, "sessions/resume"), Resumed, said)

    def end_session(self, session: str) -> SessionView:
        return self._post(f"/v1/sessions/{_part(session)}/end", SessionView)

    def give_back(self, activation: str, *, used: bool) -> api.ActivationView:
        return self._post(_path(activation, "return"), api.ActivationView, api.Return(used=used))

    def kill(self, order: api.KillOrder) -> Killed:
        return self._post("/v1/kill", Killed, order)

    def attest(self, lease: str, because: str) -> api.Attested:
        said = api.Attestation(because=because)
        return self._post(f"/v1/leases/{_part(lease)}/attest", api.Attested, said)

    def triage(self, activation: str) -> api.ActivationView:
        return self._post(_path(activation, "triage"), api.ActivationView)

    def review(self, activation: str, said: Judgement) -> api.ActivationView:
        return self._post(_path(activation, "review"), api.ActivationView, said)

    def bundle(self, activation: str) -> bytes:
        """The evidence bundle, as it must be kept."""
        return self._send("GET", _path(activation, "bundle")).content

    # -- rules and log ------------------------------------------------------------------------

    def configuration(self) -> api.ConfigurationView:
        return self._get("/v1/configuration", api.ConfigurationView)

    def published(self, number: int) -> api.ConfigurationView:
        """One that is or was in force."""
        return self._get(f"/v1/configuration/{number}", api.ConfigurationView)

    def publish(self, publication: api.Publication) -> Published:
        return self._post("/v1/configuration", Published, publication)

    def log_entries(self, start: int) -> api.LogEntries:
        return self._get("/v1/log/entries", api.LogEntries, {"start": str(start)})

    def log_status(self) -> LogView:
        return self._get("/v1/log/status", LogView)

    def log_proof(self, query: dict[str, str]) -> InclusionView:
        """By ``index``, or by ``leaf`` (its hash in hex)."""
        return self._get("/v1/log/proof", InclusionView, query)

    def ask_witnesses(self) -> AskedView:
        return self._post("/v1/log/witness", AskedView)

    # -- the way there ------------------------------------------------------------------------

    def _get(self, path: str, kind: type[_T], query: dict[str, str] | None = None) -> _T:
        return self._decode(self._send("GET", path, query=query), kind)

    def _post(self, path: str, kind: type[_T], body: object = None) -> _T:
        return self._decode(self._send("POST", path, body=body), kind)

    def _send(
        self, method: str, path: str, *, body: object = None, query: dict[str, str] | None = None
    ) -> Answer:
        url = self.server + path + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        content = b"" if body is None else msgspec.json.encode(body)
        headers = {"accept": "application/json", "user-agent": "callpoint"}
        if body is not None:
            headers["content-type"] = "application/json"
        headers |= sign_request(
            method,
            url,
            content,
            principal=self.principal,
            key=self._key,
            now=self._machine.now(),
            nonce=self._machine.token(MIN_NONCE_BYTES),
        )
        try:
            answer = self._transport.carry(
                Request(method, url, split_url(url)[1], headers, content)
            )
        except UnreachedError as error:
            raise unreachable(self.server, error) from error
        except EndlessError as error:
            raise NoAnswerError(
                f"{self.server} answered without end: {error}",
                way_out="check the address: does another program answer there? It may have been"
                " done all the same: look with `callpoint status`",
            ) from error
        except UnansweredError as error:
            raise NoAnswerError(
                f"{self.server} did not answer: {error}",
                way_out="it may have been done: look with `callpoint status`",
            ) from error
        if answer.is_success:
            return answer
        raise self._signed_as(error_of(answer, self._machine.now()))

    def _signed_as(self, error: CallpointError) -> CallpointError:
        """The server does not say whose signature it refused; here that is known."""
        if not isinstance(error, AuthenticationError):
            return error
        return AuthenticationError(
            f"{error.message} (signed as {self.principal} for {self.server})", way_out=error.way_out
        )

    def _decode(self, answer: Answer, kind: type[_T]) -> _T:
        try:
            return read_json(answer.content, kind)
        except msgspec.DecodeError as error:
            raise UnavailableError(
                f"{self.server} answered something else than Callpoint does:"
                f" {printable(str(error))}",
                way_out="check the address, and that client and server have one version",
            ) from error


def _parse_address(server: str) -> Address:
    try:
        parts = urlsplit(server)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # a port that is no number, a bracket without the other
        parts, host, port = urlsplit(""), "", None
    is_whole = _HOST.fullmatch(host) and not (parts.username or parts.query or parts.fragment)
    if parts.scheme not in _PORTS or not is_whole:
        raise RequestError(
            f"{server[:200]!r} is no server address",
            way_out="write it as http://host:port, or https:// for another machine",
        )
    return Address(parts.scheme, host, port or _PORTS[parts.scheme])


def _path(activation: str, act: str = "") -> str:
    path = f"/v1/activations/{parse_activation(activation)}"
    return f"{path}/{act}" if act else path


def _part(name: str) -> str:
    """A name as one segment of a path; NotFoundError for what could be none."""
    if not name.strip("."):
        raise NotFoundError(
            f"{name[:80]!r} is no name", way_out="`callpoint status` shows those that there are"
        )
    return quote(name.lower(), safe="")
