"""Verification of a whole log: every leaf, against the newest checkpoint and an earlier one."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from callpoint.audit.checkpoint import Checkpoint
from callpoint.audit.entry import EntryError, parse_entry
from callpoint.audit.merkle import Frontier, leaf_hash
from callpoint.audit.note import Verifier
from callpoint.audit.verify.chain import Chains
from callpoint.audit.verify.report import Code, Findings, Report
from callpoint.audit.verify.signed_head import read_checkpoint

_MOST_NAMED = 5
_ROTATED = "key:rotated"


def verify_log(
    entries: Iterable[bytes],
    checkpoint: bytes,
    vkey: str,
    earlier: bytes | None = None,
    origin: str | None = None,
    *,
    former: Sequence[str] = (),
) -> Report:
    """Recompute the tree over all leaves and compare it with what the log signed.

    Args:
        entries: Every leaf from index 0 on; read once, and not kept.
        checkpoint: The newest signed checkpoint.
        vkey: The log's verifier key.
        earlier: A signed checkpoint that the reader kept from before, if any. Without it nobody can
            tell that the log was not rewritten as a whole by whoever holds its key.
        origin: The log's name; by default the name of its key.
        former: Verifier keys that the log had before; the earlier checkpoint may be signed by one.
            The log itself must name each rotation away from one, in `key:rotated`.

    Returns:
        The report; tampering is in it and is never raised.

    Raises:
        note.MalformedNoteError: `vkey` or a former one is no verifier key.
    """
    verifier = Verifier.parse(vkey)
    name = verifier.name if origin is None else origin
    findings = Findings()
    head = read_checkpoint(checkpoint, verifier, name, "the checkpoint", findings)
    past = None
    if earlier is not None:
        before = tuple(Verifier.parse(key) for key in former)
        what = "the earlier checkpoint"
        past = read_checkpoint(earlier, verifier, name, what, findings, before)
    return _LogCheck(findings, head, past, former).run(entries)


class _LogCheck:
    """One pass over a log, with the roots at the sizes of both checkpoints."""

    def __init__(
        self,
        findings: Findings,
        head: Checkpoint | None,
        past: Checkpoint | None,
        former: Sequence[str],
    ) -> None:
        self._findings = findings
        self._head = head
        self._past = past
        self._chains = Chains(findings)
        self._installation: str | None = None
        self._unexplained = set(former)

    def run(self, entries: Iterable[bytes]) -> Report:
        sizes = sorted({c.size for c in (self._head, self._past) if c is not None})
        leaves = self._checked(entries)
        frontier = Frontier()
        roots: dict[int, bytes] = {}
        for size in sizes:
            frontier = frontier.extend(islice(leaves, size - frontier.size))
            roots[frontier.size] = frontier.root()
        frontier = frontier.extend(leaves)
        # What the chains say comes first: they know where, the root only knows that.
        self._chains.finish()
        for key in sorted(self._unexplained):
            message = f"no key:rotated entry says that {key} was a key of this log"
            self._findings.add(Code.WRONG_KEY, message)
        self._compare(frontier.size, roots)
        if open_streams := self._chains.open_streams():
            self._findings.note(
                f"{open_streams} streams are open: they are complete up to this checkpoint only"
            )
        return self._findings.report(frontier.size)

    def _checked(self, entries: Iterable[bytes]) -> Iterator[bytes]:
        """Check each leaf by itself and in its stream, and pass on its hash."""
        for index, leaf in enumerate(entries):
            digest = leaf_hash(leaf)
            self._check_entry(index, leaf, digest)
            yield digest

    def _check_entry(self, index: int, leaf: bytes, digest: bytes) -> None:
        try:
            entry = parse_entry(leaf)
        except EntryError as error:
            self._findings.add(Code.ENTRY_MALFORMED, str(error), index)
            self._chains.add_unreadable(index)
            return
        if self._installation is None:
            self._installation = entry.installation
        if entry.installation != self._installation:
            message = f"installation {entry.installation}, in the log of {self._installation}"
            self._findings.add(Code.ENTRY_FOREIGN, message, index)
        if entry.type == _ROTATED and entry.data.get("use") == "log":
            self._unexplained.discard(str(entry.data.get("old")))
        self._chains.add(index, digest.hex(), entry)

    def _compare(self, size: int, roots: dict[int, bytes]) -> None:
        head, past = self._head, self._past
        matches = self._compare_head(size, roots, head) if head is not None else None
        if past is None:
            return
        if head is not None and past.size > head.size:
            message = f"the log shrank: it had {past.size} entries and now claims {head.size}"
            self._findings.add(Code.ROLLBACK, message)
        elif head is not None and past.size == head.size and past.root != head.root:
            message = f"two signed roots for one size, {past.size}"
            self._findings.add(Code.FORK, message)
        elif matches is not False and roots.get(past.size) not in (None, past.root):
            message = f"the first {past.size} entries are not those of the earlier checkpoint"
            self._findings.add(Code.FORK, message)

    def _compare_head(self, size: int, roots: dict[int, bytes], head: Checkpoint) -> bool:
        """Whether the entries have the signed root; what is wrong otherwise goes to findings."""
        if size < head.size:
            message = f"{head.size - size} of the checkpoint's {head.size} entries are missing"
            self._findings.add(Code.ENTRY_REMOVED, message)
            return False
        if size > head.size:
            message = f"{size - head.size} entries are more than the checkpoint's {head.size}"
            self._findings.add(Code.ENTRY_INSERTED, message)
        if roots.get(head.size) == head.root:
            return True
        low, high, where = self._range(size, roots)
        heads = sorted(index for index in self._chains.heads() if low <= index < high)
        # Entries with a successor in their stream are vouched for by its prev. If the chains are
        # whole, what was changed can only be an entry without one, or the order of streams.
        only_heads = all(finding.index is None for finding in self._findings.found)
        message = f"the root of these entries is not the signed one{where}"
        if only_heads and heads:
            named = ", ".join(map(str, heads[:_MOST_NAMED])) + (
                ", ..." if len(heads) > _MOST_NAMED else ""
            )
            message += f"; every chain is whole, so look at {named} and at the order of streams"
        index = heads[0] if only_heads and len(heads) == 1 else None
        self._findings.add(Code.ROOT_MISMATCH, message, index)
        return False

    def _range(self, size: int, roots: dict[int, bytes]) -> tuple[int, int, str]:
        """Where the change must lie, as far as the earlier checkpoint tells."""
        past = self._past
        if past is None or past.size not in roots:
            return 0, size, ""
        if roots[past.size] == past.root:
            return past.size, size, f": the change lies at or after entry {past.size}"
        return 0, past.size, f": a change lies before entry {past.size}"
