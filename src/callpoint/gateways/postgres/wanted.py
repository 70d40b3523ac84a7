"""What a text asks the authority for, and what of it goes on record."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from callpoint.domain.gateway import Recording
from callpoint.domain.operation import Operation
from callpoint.domain.untrusted import bounded
from callpoint.gateways.postgres.sql.access import Access, Classified, StatementKind, Verb
from callpoint.gateways.postgres.sql.classify import CACHED_BYTES, Classifier
from callpoint.gateways.postgres.sql.redact import redact
from callpoint.gateways.postgres.sql.session import Session
from callpoint.ports.authority import TEXT_LIMIT, Deed

BESIDE = 4_096
"""Longer texts are read beside the event loop: one of 64 KiB takes up to half a second."""

_KEPT = 1_024
_SHOWN_VALUES = 64
_SHOWN_VALUE = 256


@dataclass(frozen=True, slots=True)
class Wanted:
    """One text, by one state of the catalogue.

    Attributes:
        found: What it was taken for.
        operations: All that is decided; empty for an empty text only.
        shown: The text as it can stand in an entry.
        redacted: Its words without values.
        digest: Of the exact text.
        takes_rows: The target will wait for rows.
    """

    found: Classified
    text: str
    operations: tuple[Operation, ...]
    shown: str
    redacted: str
    digest: str
    takes_rows: bool


def deed_of(
    wanted: Sequence[Wanted], values: Sequence[tuple[int, bytes | None]], recording: Recording
) -> Deed:
    """For the authority.

    Args:
        wanted: More than one if a name may stand for several texts: all of them must be allowed.
        values: Format code and bytes of each parameter.
        recording: How it goes on record.
    """
    text = ""
    parameters: tuple[str, ...] = ()
    match recording:
        case Recording.FULL:
            text = wanted[0].shown
            if len(wanted) > 1:
                text = bounded("; ".join(one.text for one in wanted), TEXT_LIMIT)
            parameters = tuple(shown(value) for value in values[:_SHOWN_VALUES])
        case Recording.REDACTED:
            text = bounded("; ".join(one.redacted for one in wanted), TEXT_LIMIT)
        case Recording.HASHED:
            pass
    operations = wanted[0].operations
    if len(wanted) > 1:
        operations = tuple(sorted({each for one in wanted for each in one.operations}))
    return Deed(operations, text, wanted[-1].digest, parameters)


def refused_deed(text: str, why: str, recording: Recording) -> Deed:
    """A text that the classification refused, for the record: never more than its words.

    What cannot be read may be a password at the wrong prompt.
    """
    kept = "" if recording is Recording.HASHED else bounded(redact(text), TEXT_LIMIT)
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return Deed((), kept, digest, refused=why)


def shown(value: tuple[int, bytes | None]) -> str:
    """A parameter for the record: binary ones in hexadecimal, long ones cut."""
    code, raw = value
    if raw is None:
        return "NULL"
    if code:
        return bounded("\\x" + raw[:_SHOWN_VALUE].hex(), _SHOWN_VALUE)
    return bounded(raw[:_SHOWN_VALUE].decode(errors="replace"), _SHOWN_VALUE)


@dataclass(slots=True)
class Facts:
    """One state of a catalogue, and what texts ask for by it; sessions share it.

    Attributes:
        classifier: Over it.
    """

    classifier: Classifier
    _known: "OrderedDict[tuple[str, tuple[int, ...]], Wanted]" = field(default_factory=OrderedDict)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def want(self, text: str, types: tuple[int, ...], session: Session) -> Wanted:
        """What a text asks for.

        Args:
            text: Exactly what would be sent on.
            types: Of its parameters, as the client says.
            session: What was sent before.

        Raises:
            DeniedError: It can never be decided, or never be done.
            RequestError: It is no SQL.
        """
        known = self._known.get((text, types))
        if known is not None and not session.ddl_open:
            self._known.move_to_end((text, types))
            return known
        async with self._one_at_a_time:
            if len(text) > BESIDE:
                found = await asyncio.to_thread(self.classifier.classify, text, session)
            else:
                found = self.classifier.classify(text, session)
            accesses = set(found.accesses).union(self.classifier.parameters(types))
        made = self._made(text, found, accesses)
        if not (found.of_the_session or session.ddl_open) and len(text) <= CACHED_BYTES:
            self._known[text, types] = made
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return made

    def _made(self, text: str, found: Classified, accesses: set[Access]) -> Wanted:
        operations = [Operation(str(access.verb), access.object) for access in sorted(accesses)]
        if found.statements and not operations:
            # It reads nothing that has a name: `SELECT 1`. It is decided all the same.
            itself = Access(Verb.SELECT, "", self.classifier.catalogue.database)
            operations = [Operation(str(itself.verb), itself.object)]
        return Wanted(
            found=found,
            text=text,
            operations=tuple(operations),
            shown=bounded(text, TEXT_LIMIT),
            redacted="; ".join(statement.redacted for statement in found.statements),
            digest=hashlib.sha256(text.encode()).hexdigest(),
            takes_rows=any(s.kind is StatementKind.COPY_IN for s in found.statements),
        )


class Catalogues:
    """Facts that sessions share, the newest few states of each database."""

    def __init__(self, kept: int = 16) -> None:
        self._kept = kept
        self._facts: OrderedDict[tuple[object, ...], Facts] = OrderedDict()

    def known(self, place: tuple[object, ...], version: str) -> Facts | None:
        """The facts of a state that somebody has read.

        Args:
            place: The server and database, and how a session is pinned.
            version: What the server answered to ``VERSION_QUERY``.
        """
        return self._facts.get((*place, version))

    def keep(self, place: tuple[object, ...], facts: Facts) -> None:
        """For the next session."""
        self._facts[(*place, facts.classifier.catalogue.version)] = facts
        while len(self._facts) > self._kept:
            self._facts.popitem(last=False)
