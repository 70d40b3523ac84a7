"""Trying to log in, and when a refusal proves something (I5).

A certificate that names the actor's networks cannot be tried from the broker's. So its twin is:
the same serial, key id and principal, signed by the same CA for a key of the broker's own. What
sshd decides about the one it decides about the other, but for the network.

A broken revocation list refuses *every* key. So a refusal counts only when the host side, asked
over the broker's own login, finds the list sound; and, as proof of an end, naming this serial or
the certificate expired.
"""

import asyncssh

from callpoint.adapters.targets.ssh import keys
from callpoint.adapters.targets.ssh.door import Door, attempt
from callpoint.adapters.targets.ssh.host import Answer, Conversation
from callpoint.adapters.targets.ssh.keys import Pair
from callpoint.adapters.targets.ssh.settings import SshSettings
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.clock import Clock, Random
from callpoint.ports.targets import Absence, Attempt, Credential, ProbeResult

_SOURCE_ADDRESS = "source-address"


class Proof:
    """Attempts on one target, with what makes them evidence."""

    def __init__(
        self, settings: SshSettings, ca: asyncssh.SSHKey, clock: Clock, random: Random
    ) -> None:
        self._settings = settings
        self._ca = ca
        self._clock = clock
        self._random = random

    async def attempt(
        self, conversation: Conversation, plan: UndoPlan, credential: Credential
    ) -> ProbeResult:
        """One attempt. "Refused" only while the revocation list is sound."""
        tried = await self._try(conversation, plan, credential)
        if tried.attempt is not Attempt.REFUSED:
            return tried
        seen = await self._look(conversation, plan)
        return tried if seen["krl_sound"] else ProbeResult(Attempt.UNKNOWN, "krl-broken")

    async def absence(
        self, conversation: Conversation, plan: UndoPlan, credential: Credential | None
    ) -> Absence:
        """Looks first, so that our own attempt is not counted as a session."""
        seen = await self._look(conversation, plan)
        tried = None
        if credential is not None:
            tried = await self._try(conversation, plan, credential)
            if tried.attempt is Attempt.REFUSED:
                tried = _counted(tried, plan, await self._look(conversation, plan))
        return Absence(
            in_catalogue=bool(seen["listed"] or seen["admitted"]),
            sessions=int(seen["sessions"]),
            attempt=tried,
        )

    async def _look(self, conversation: Conversation, plan: UndoPlan) -> Answer:
        """The revocation list is asked about a certificate of this serial; it is used nowhere."""
        certificate = self._twin(plan, ()).certificate
        return await conversation.ask("verify", handle=plan.handle, certificate=certificate)

    async def _try(
        self, conversation: Conversation, plan: UndoPlan, credential: Credential
    ) -> ProbeResult:
        """The very credential where it may be used from here, else its twin."""
        door = Door(self._settings.host, self._settings.port, self._settings.host_keys)
        pair = Pair(credential.secret, credential.endpoint.get("certificate", ""))
        if _names_sources(pair):
            pair = self._twin(plan, await self._own_sources(conversation))
        return await attempt(door, credential.username, pair)

    async def _own_sources(self, conversation: Conversation) -> tuple[str, ...]:
        """The broker's networks as the owner says, or its address as the host sees it."""
        if self._settings.broker_sources:
            return self._settings.broker_sources
        client = str((await conversation.ask("hello"))["client"])
        return (client,) if client else ()

    def _twin(self, plan: UndoPlan, sources: tuple[str, ...]) -> Pair:
        private = keys.new_private(self._random.token(keys.SEED_SIZE))
        return keys.twin(self._ca, plan, private, self._clock.now(), sources)


def _counted(tried: ProbeResult, plan: UndoPlan, seen: Answer) -> ProbeResult:
    """A refusal, if it is one of this certificate and not of everybody."""
    if not seen["krl_sound"]:
        return ProbeResult(Attempt.UNKNOWN, "krl-broken")
    if not seen["revoked"] and float(seen["clock"]) <= keys.end_of(plan):
        return ProbeResult(Attempt.UNKNOWN, "not-revoked")
    return tried


def _names_sources(pair: Pair) -> bool:
    try:
        certificate = asyncssh.import_certificate(pair.certificate)
    except (asyncssh.KeyImportError, ValueError):
        return False
    options = getattr(certificate, "options", {})  # X.509 certificates have none
    return _SOURCE_ADDRESS in options
