"""Verification of an evidence bundle: every event of one activation, and what it rests on."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.entry import CLOSING_KEY, Entry, EntryError, check_commitment, parse_entry
from callpoint.audit.merkle import ProofError, leaf_hash, verify_inclusion
from callpoint.audit.note import Verifier
from callpoint.audit.verify.chain import Chains
from callpoint.audit.verify.report import Code, Findings, Report
from callpoint.audit.verify.signed_head import read_checkpoint
from callpoint.audit.verify.stamped import BundleStamp, check_stamp
from callpoint.audit.verify.vote import Known, check_votes

MAX_BUNDLE_SIZE = 64 * 1024 * 1024
"""Largest bundle, in bytes: some thousands of entries with their proofs take a few megabytes."""


class Revealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A personal value with the salt of its commitment (base64 on the wire)."""

    salt: bytes
    value: str


class BundleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry: its place in the log, its leaf, its inclusion proof, its personal values."""

    index: int
    leaf: bytes
    proof: list[bytes]
    personal: dict[str, Revealed] = {}


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An evidence bundle, as ``docs/audit-log-format.md`` specifies it."""

    format: Literal["callpoint-bundle/v1"]
    installation: str
    activation: str
    checkpoint: str
    entries: list[BundleEntry]
    related: list[BundleEntry] = []
    sessions: list[BundleEntry] = []
    timestamp: BundleStamp | None = None


def verify_bundle(
    data: bytes,
    vkey: str,
    origin: str | None = None,
    *,
    expect_closed: bool = False,
    former: Sequence[str] = (),
    authority: bytes | None = None,
) -> Report:
    """Check everything that one activation's evidence claims.

    Args:
        data: The bundle, JSON.
        vkey: The log's verifier key.
        origin: The log's name; by default the name of its key.
        expect_closed: Count it as a failure that the activation's stream is still open.
        former: Verifier keys that the log had before; a bundle of then is signed by one of them.
        authority: A time-stamping authority's certificates, PEM: the bundle must hold its stamp.

    Returns:
        The report; tampering is in it and is never raised.

    Raises:
        note.MalformedNoteError: `vkey` or a former one is no verifier key.
    """
    verifier = Verifier.parse(vkey)
    findings = Findings()
    try:
        bundle = parse_bundle(data)
    except ValueError as error:
        findings.add(Code.MALFORMED_BUNDLE, f"this is no evidence bundle: {error}")
        return findings.report(0)
    name = verifier.name if origin is None else origin
    signed = bundle.checkpoint.encode("utf-8", "surrogatepass")
    before = tuple(Verifier.parse(key) for key in former)

    def read(note: bytes, what: str) -> Checkpoint | None:
        return read_checkpoint(note, verifier, name, what, findings, before)

    head = read(signed, "the bundle's checkpoint")
    places = [item.index for item in bundle.entries]
    check_stamp(bundle.timestamp, head, read, places, authority, findings)
    return _BundleCheck(bundle, head, findings).run(expect_closed=expect_closed)


def parse_bundle(data: bytes) -> Bundle:
    """Read the JSON; ValueError when it is none. Nothing in it is checked."""
    if len(data) > MAX_BUNDLE_SIZE:
        raise ValueError(f"it has more than {MAX_BUNDLE_SIZE} bytes")
    try:
        return msgspec.json.decode(data, type=Bundle)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class _BundleCheck:
    """The checks of one bundle, in the order of the specification."""

    def __init__(self, bundle: Bundle, head: Checkpoint | None, findings: Findings) -> None:
        self._bundle = bundle
        self._head = head
        self._findings = findings
        self._stream = f"activation:{bundle.activation}"

    def run(self, *, expect_closed: bool) -> Report:
        events = self._read(self._bundle.entries)
        own = [known for known in events if self._is_own(known)]
        # In the order given, so that an exchange shows; all that follows goes by number.
        self._chain(own, [item.index for item in self._bundle.entries])
        own.sort(key=lambda known: known.entry.seq)
        self._check_end(own, expect_closed=expect_closed)
        related = [known for known in self._read(self._bundle.related) if self._is_related(known)]
        if own:
            self._check_related(own[0].entry, related)
            check_votes(own, related, self._bundle.activation, self._findings)
        self._check_sessions(own)
        bundle = self._bundle
        size = len(bundle.entries) + len(bundle.related) + len(bundle.sessions)
        return self._findings.report(size)

    def _read(self, items: Sequence[BundleEntry]) -> list[Known]:
        """The entries that can be read, each checked for inclusion and for its personal values."""
        known = []
        for item in items:
            self._check_included(item)
            try:
                entry = parse_entry(item.leaf)
            except EntryError as error:
                self._findings.add(Code.ENTRY_MALFORMED, str(error), item.index)
                continue
            self._check_personal(item, entry)
            known.append(Known(item.index, leaf_hash(item.leaf).hex(), entry))
        return known

    def _check_included(self, item: BundleEntry) -> None:
        if self._head is None:
            return
        digest = leaf_hash(item.leaf)
        try:
            verify_inclusion(digest, item.index, self._head.size, item.proof, self._head.root)
        except ProofError as error:
            message = f"this entry is not at its place in the signed log: {error}"
            self._findings.add(Code.NOT_INCLUDED, message, item.index)

    def _check_personal(self, item: BundleEntry, entry: Entry) -> None:
        for name, revealed in item.personal.items():
            commitment = entry.personal.get(name)
            if commitment is None:
                message = f"a value {name!a} is shown that the entry does not commit to"
                self._findings.add(Code.COMMITMENT_MISMATCH, message, item.index)
                continue
            try:
                check_commitment(commitment, revealed.salt, revealed.value)
            except EntryError as error:
                self._findings.add(Code.COMMITMENT_MISMATCH, f"{name}: {error}", item.index)
        if erased := sorted(set(entry.personal) - set(item.personal)):
            self._findings.note(f"entry {item.index} does not show: {', '.join(erased)}")

    def _is_own(self, known: Known) -> bool:
        return self._is_of_installation(known) and self._is_in_stream(known)

    def _is_in_stream(self, known: Known) -> bool:
        if known.entry.stream == self._stream:
            return True
        message = f"stream {known.entry.stream} does not belong among those of {self._stream}"
        self._findings.add(Code.ENTRY_FOREIGN, message, known.index)
        return False

    def _is_related(self, known: Known) -> bool:
        if not self._is_of_installation(known):
            return False
        if known.entry.stream != self._stream:
            return True
        message = "an event of the activation itself stands among the related ones"
        self._findings.add(Code.ENTRY_FOREIGN, message, known.index)
        return False

    def _is_of_installation(self, known: Known) -> bool:
        if known.entry.installation == self._bundle.installation:
            return True
        message = f"installation {known.entry.installation}, not {self._bundle.installation}"
        self._findings.add(Code.ENTRY_FOREIGN, message, known.index)
        return False

    def _chain(self, known: Sequence[Known], given: Sequence[int]) -> None:
        """Follow the chain of one stream; what was given and cannot be read may fill its gaps."""
        chains = Chains(self._findings)
        for item in known:
            chains.add(item.index, item.digest, item.entry)
        for index in sorted(set(given) - {item.index for item in known}):
            chains.add_unreadable(index)
        chains.finish()

    def _check_end(self, own: Sequence[Known], *, expect_closed: bool) -> None:
        closing = [known for known in own if known.entry.is_closing]
        if closing:
            length = closing[-1].entry.data[CLOSING_KEY]
            count = len(self._bundle.entries)
            if length != count:
                code = Code.STREAM_LENGTH_WRONG
                if type(length) is int:
                    code = Code.ENTRY_REMOVED if length > count else Code.ENTRY_INSERTED
                message = f"the activation has {length!a} events, and the bundle {count}"
                self._findings.add(code, message)
            return
        if not own:
            message = "the bundle holds no readable event of its activation"
            self._findings.add(Code.ENTRY_REMOVED, message)
            return
        message = f"open: completeness is shown only up to seq {max(k.entry.seq for k in own)}"
        if expect_closed:
            self._findings.add(Code.STREAM_OPEN, message)
        else:
            self._findings.note(message)

    def _check_sessions(self, own: Sequence[Known]) -> None:
        """What was done in the sessions that the activation opened: each stream without a hole."""
        opened = [k.entry.data.get("session") for k in own if k.entry.type == "session:opened"]
        streams = [f"session:{name}" for name in opened if isinstance(name, str)]
        # What a gateway told that it did without the authority; such a stream is never closed.
        alone = [f"offline:{name}" for name in opened if isinstance(name, str)]
        acted: list[Known] = []
        for known in self._read(self._bundle.sessions):
            if not self._is_of_installation(known):
                continue
            if known.entry.stream in (*streams, *alone):
                acted.append(known)
                continue
            message = f"{known.entry.stream} is no session that {self._stream} opened"
            self._findings.add(Code.ENTRY_FOREIGN, message, known.index)
        self._chain(acted, [item.index for item in self._bundle.sessions])
        closed = {known.entry.stream for known in acted if known.entry.is_closing}
        for stream in streams:
            if stream not in closed:
                shown = [known.entry.seq for known in acted if known.entry.stream == stream]
                upto = f"up to seq {max(shown)}" if shown else "in nothing"
                self._findings.note(f"{stream} is open: completeness is shown only {upto}")

    def _check_related(self, first: Entry, related: Sequence[Known]) -> None:
        """Genesis, and the configuration and incident that the request names, are in the bundle."""
        request = first.data.get("request")
        if not isinstance(request, dict):
            # The votes' check reports this: without the request nothing else can be named.
            return
        if not any(k.entry.type == "installation:created" for k in related):
            message = "the installation's genesis entry is not in the bundle"
            self._findings.add(Code.RELATED_MISSING, message)
        digest = request.get("configuration_digest")
        if not any(
            k.entry.type == "bundle:published"
            and k.entry.data.get("configuration_digest") == digest
            for k in related
        ):
            message = "the publication of the request's configuration is not in the bundle"
            self._findings.add(Code.RELATED_MISSING, message)
        if request.get("incident") == "" and request.get("lane") == "elevation":
            self._findings.note("planned work: the request names no incident")
            return
        stream = f"incident:{request.get('incident')}"
        incident = [k for k in related if k.entry.stream == stream]
        if not incident:
            message = f"no event of {stream} is in the bundle"
            self._findings.add(Code.RELATED_MISSING, message)
        self._chain(incident, [])
