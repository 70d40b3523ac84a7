"""A log as an implementation that is not ours sees it (PyPI ``aics-tlog``, Python 3.12 or later).

It imports nothing of Callpoint, so that it runs in this interpreter or in another one: a question
as JSON on standard input, the answer as JSON on standard output.
"""

import base64
import json
import sys
from typing import Any


def examine(question: dict[str, Any]) -> dict[str, Any]:
    """Read a log over HTTP and verify all of it.

    Args:
        question: ``prefix`` of the log, ``vkey`` and ``origin``, ``witness`` (its vkey),
            ``old`` (a size and root that the caller knows), ``folder`` with entry bundles,
            ``proof`` (an index and the log's own inclusion proof for it), and ``cosigner`` (name
            and seed of a witness that the oracle is to be, at ``now``).

    Returns:
        What was found; each member is true, a number or a text when all is well.
    """
    import aics_tlog as tlog  # type: ignore[import-not-found, import-untyped, unused-ignore]  # from Python 3.12 on

    log = tlog.HttpTileReader(question["prefix"], proxies={})
    both = tlog.HttpTileReader([question["prefix"], question["folder"]], proxies={})
    note = tlog.parse_note(log.read_checkpoint())
    policy = tlog.WitnessPolicy(1, (tlog.parse_vkey(question["witness"]),), max_age_seconds=3600)
    key = tlog.parse_vkey(question["vkey"])
    seen = tlog.verify_checkpoint(
        note, key, policy=policy, expected_origin=question["origin"], now=question["now"]
    )
    alone = tlog.verify_checkpoint(note, key, expected_origin=question["origin"])
    size, root = seen.size, seen.root
    audited = tlog.audit_tiles(both, size, root)
    verified = tlog.VerifiedTileReader(both, size, root)
    old, old_root = question["old"]["size"], base64.b64decode(question["old"]["root"])
    grown = tlog.consistency_proof_from_tiles(log, old, size)
    index = question["proof"]["index"]
    entry = tlog.read_entry(verified, index, size)
    own = tlog.inclusion_proof_from_tiles(log, index, size)
    given = [base64.b64decode(item) for item in question["proof"]["hashes"]]
    return {
        "log": alone.ok,
        "cosigned": seen.ok,
        "witnesses": seen.witnesses,
        "size": size,
        "tiles": audited.tiles,
        "bundles": audited.bundles,
        "root_from_tiles": tlog.tree_root_from_tiles(log, size) == root,
        "old_root_from_tiles": tlog.tree_root_from_tiles(log, old) == old_root,
        "consistent": tlog.verify_consistency(old, size, old_root, root, grown),
        "same_proof": own == given,
        "included": tlog.verify_leaf_inclusion(entry, index, size, given, root),
        "refused": not tlog.verify_leaf_inclusion(entry, index - 1, size, given, root),
        "entry": base64.b64encode(entry).decode(),
        "line": _cosigned(question, size, root),
    }


def _cosigned(question: dict[str, Any], size: int, root: bytes) -> str:
    """The oracle's own cosignature, as a line below a note."""
    import aics_tlog as tlog  # type: ignore[import-not-found, import-untyped, unused-ignore]  # likewise
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    name, seed = question["cosigner"]
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    _, made = tlog.sign_cosignature(key, name, question["now"], question["origin"], size, root)
    blob = base64.b64encode(made.key_id + made.signature).decode()
    return f"\N{EM DASH} {made.name} {blob}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine(json.load(sys.stdin))))
