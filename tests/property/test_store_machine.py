"""Whatever order of callers, faults, restarts and restores: state and log agree, nothing forks."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from callpoint.audit.checkpoint import parse_checkpoint
from callpoint.audit.entry import parse_entry
from callpoint.audit.kept_file import newest_note
from callpoint.audit.merkle import Frontier, leaf_hash
from callpoint.audit.note import parse_note
from callpoint.domain.errors import ConflictError, LogUnavailableError
from tests.contract.store_benches import SqliteBench, Thing, add, issued

KEYS = ("a", "b", "c")


class StoreMachine(RuleBasedStateMachine):
    """Compares a store with counters: of each key, how often it was acknowledged.

    Each step puts a record with ``count`` one higher and appends an event to the key's stream, so
    that count, stream length and the model's counter must be one number, spool included.
    """

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.bench = SqliteBench(self.folder)
        self.runner = asyncio.Runner()
        self.store = self.run(self.bench.open())
        self.counts = dict.fromkeys(KEYS, 0)
        self.copied: dict[str, int] | None = None
        self.is_broken = False
        self.is_halted = False
        self.signed: dict[tuple[str, int], bytes] = {}

    def teardown(self):
        self.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def run(self, work):
        return self.runner.run(work)

    @rule(
        callers=st.lists(
            st.tuples(st.sampled_from(KEYS), st.booleans(), st.booleans()), min_size=1, max_size=6
        )
    )
    def work(self, callers):
        """Several callers at once: a key, whether it is urgent, whether its work fails."""

        def step(key, fails):
            def run(tx):
                thing = tx.find(Thing, key) or Thing(key)
                tx.put(msgspec.structs.replace(thing, count=thing.count + 1))
                tx.append(f"s:{key}", issued())
                if fails:
                    raise KeyError(key)

            return run

        async def all_at_once():
            calls = (self.store.transact(step(k, f), urgent=u) for k, u, f in callers)
            return await asyncio.gather(*calls, return_exceptions=True)

        for (key, urgent, fails), result in zip(callers, self.run(all_at_once()), strict=True):
            if not urgent and (self.is_broken or self.is_halted):
                # With a broken signer work may run before that shows, and fail by itself.
                assert isinstance(result, LogUnavailableError | KeyError)
            elif fails:
                assert isinstance(result, KeyError)
            else:
                assert result is None
                self.counts[key] += 1

    @rule()
    def flip_signer(self):
        self.is_broken = not self.is_broken
        self.bench.break_log(broken=self.is_broken)

    @rule()
    def merge(self):
        waiting = self.run(self.store.merge_spool())
        assert waiting == 0 or self.is_broken or self.is_halted

    @rule(older=st.booleans())
    def restart(self, older):
        """A restart, perhaps with the checkpoint file as a death before its renaming leaves it."""
        kept = self.bench.checkpoint_file.read_bytes()
        if older and not self.is_halted and not self.is_broken:
            self.run(self.store.transact(add("s:other", issued())))
        self.run(self.store.close())
        if older and not self.is_halted and not self.is_broken:
            self.bench.checkpoint_file.write_bytes(kept)
        self.store = self.run(self.bench.open())

    @precondition(lambda self: self.copied is None)
    @rule()
    def back_up(self):
        self.run(self.store.close())
        self.bench.back_up()
        self.copied = dict(self.counts)
        self.store = self.run(self.bench.open())

    @precondition(lambda self: self.copied is not None)
    @rule()
    def restore(self):
        self.run(self.store.close())
        self.bench.restore()
        self.counts, self.copied = dict(self.copied or {}), None
        self.store = self.run(self.bench.open())
        size = self.run(self.store.read(lambda v: len(v.log_slice(0, 100_000))))
        self.is_halted = self.outside().size > size or self.outside().origin != self.origin(size)

    @precondition(lambda self: not self.is_broken)
    @rule()
    def recover(self):
        try:
            self.run(self.store.recover("the machine"))
        except ConflictError:
            assert not self.is_halted
        else:
            assert self.is_halted
            self.is_halted = False

    @invariant()
    def state_and_log_agree(self):
        """Counts, streams and spool are one number for each key; the tree is the signed one."""

        def look(view):
            rows = {key: view.find(Thing, key) for key in KEYS}
            lengths = {k: len(view.entries(f"s:{k}")) + view.unnumbered(f"s:{k}") for k in KEYS}
            return rows, lengths, view.log_slice(0, 100_000), view.checkpoint()

        rows, lengths, whole, newest = self.run(self.store.read(look))
        assert {key: row.count if row else 0 for key, row in rows.items()} == self.counts
        assert lengths == self.counts
        root = Frontier().extend(leaf_hash(entry.leaf) for entry in whole).root()
        seqs: dict[str, int] = {}
        for entry in (parse_entry(e.leaf) for e in whole):
            assert entry.seq == seqs.get(entry.stream, -1) + 1
            seqs[entry.stream] = entry.seq
        if newest:
            checkpoint = parse_checkpoint(parse_note(newest.encode()).text)
            assert (checkpoint.size, checkpoint.root) == (len(whole), root)

    @invariant()
    def nothing_was_signed_twice(self):
        """For one origin and size the log never signed two roots."""
        for text in self.bench.signer.signed:
            checkpoint = parse_checkpoint(text)
            place = (checkpoint.origin, checkpoint.size)
            assert self.signed.setdefault(place, checkpoint.root) == checkpoint.root
        self.bench.signer.signed.clear()

    def outside(self):
        return parse_checkpoint(
            parse_note(newest_note(self.bench.checkpoint_file.read_bytes())).text
        )

    def origin(self, size):
        rows = self.bench.execute("SELECT origin FROM head")
        return rows[0][0] if rows else size


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
