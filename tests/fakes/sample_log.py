"""A small, honest log with one whole activation in it, and the means to tamper with it."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callpoint.audit.checkpoint import Checkpoint, sign_checkpoint
from callpoint.audit.entry import Entry, canonical_json, commit, encode_entry, entry_hash
from callpoint.audit.merkle import NodeSource, inclusion_proof, leaf_hash, node_hash, root_of
from callpoint.audit.note import Signer

INSTALLATION = "inst01"
ACTIVATION = "act000000001"
STREAM = f"activation:{ACTIVATION}"
INCIDENT = "incident:inc-7"
SIGNER = Signer("callpoint.example/inst01", bytes(range(32)))
VKEY = SIGNER.verifier.format()
SALT = bytes(range(16))
REQUEST: dict[str, Any] = {
    "installation": INSTALLATION,
    "activation": ACTIVATION,
    "incident": "inc-7",
    "opens": ["orders-db:repair"],
    "persons": ["ada"],
    "quorum": {"need": 2, "extra": 0},
    "configuration_digest": "c0" * 32,
    "policy_digest": "b0" * 32,
}


def digest_of(request: dict[str, Any]) -> str:
    """The request digest that votes are signed over."""
    return hashlib.sha256(canonical_json(request)).hexdigest()


def vote(person: str, seed: int, **changes: Any) -> dict[str, Any]:
    """The data of a signed vote; `changes` replace members of what is signed."""
    signed = {
        "domain": "callpoint/approval/v1",
        "installation": INSTALLATION,
        "activation": ACTIVATION,
        "request_digest": digest_of(REQUEST),
        "configuration_digest": REQUEST["configuration_digest"],
        "policy_digest": REQUEST["policy_digest"],
        "nonce": "n",
        "checkpoint": "0 ",
        "approver": f"human:{person}",
        "person": person,
        "verdict": "approve",
    } | changes
    body = canonical_json(signed)
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return {
        "statement": base64.b64encode(body).decode(),
        "signature": base64.b64encode(key.sign(b"callpoint/approval/v1\n" + body)).decode(),
        "key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
        **{name: signed[name] for name in ("approver", "person", "verdict")},
    }


@dataclass
class SampleLog:
    """Leaves in order; events are appended to streams with the right seq and prev."""

    leaves: list[bytes] = field(default_factory=list)
    heads: dict[str, tuple[int, str]] = field(default_factory=dict)
    streams: dict[str, list[int]] = field(default_factory=dict)

    def add(
        self, stream: str, kind: str, data: dict[str, Any], *, close: bool = False, **fields: Any
    ) -> None:
        """Append one event."""
        seq, prev = self.heads.get(stream, (-1, None))
        seq += 1
        if close:
            data = data | {"stream_length": seq + 1}
        values: dict[str, Any] = {
            "type": kind,
            "version": 1,
            "installation": INSTALLATION,
            "stream": stream,
            "seq": seq,
            "prev": prev,
            "at": f"2026-11-24T04:09:13.{len(self.leaves):06d}Z",
            "data": data,
            "personal": {},
        }
        leaf = encode_entry(Entry(**(values | fields)))
        self.streams.setdefault(stream, []).append(len(self.leaves))
        self.heads[stream] = (seq, entry_hash(leaf))
        self.leaves.append(leaf)

    def checkpoint(self, size: int | None = None) -> bytes:
        """The signed checkpoint at a size, the newest by default."""
        return sealed(self.leaves[:size])

    def bundle(self, size: int | None = None) -> dict[str, Any]:
        """The evidence bundle of the activation, against the checkpoint at this size."""
        leaves = self.leaves[:size]
        related = [n for s in ("installation", INCIDENT) for n in self.streams[s]]
        own = self.streams[STREAM]
        return {
            "format": "callpoint-bundle/v1",
            "installation": INSTALLATION,
            "activation": ACTIVATION,
            "checkpoint": sealed(leaves).decode(),
            "entries": [item(leaves, n) for n in own if n < len(leaves)],
            "related": [item(leaves, n) for n in related if n < len(leaves)],
        }


def sealed(leaves: list[bytes], signer: Signer = SIGNER, origin: str = SIGNER.name) -> bytes:
    """A checkpoint over these leaves."""
    root = root_of(leaf_hash(leaf) for leaf in leaves)
    return sign_checkpoint(Checkpoint(origin, len(leaves), root), [signer]).format()


def item(leaves: list[bytes], index: int) -> dict[str, Any]:
    """One entry of a bundle, with its proof."""
    proof = inclusion_proof(index, len(leaves), nodes_of(leaves))
    return {
        "index": index,
        "leaf": base64.b64encode(leaves[index]).decode(),
        "proof": [base64.b64encode(value).decode() for value in proof],
    }


def nodes_of(leaves: list[bytes]) -> NodeSource:
    """Nodes computed from leaves."""

    def nodes(level: int, index: int) -> bytes:
        if level == 0:
            return leaf_hash(leaves[index])
        return node_hash(nodes(level - 1, 2 * index), nodes(level - 1, 2 * index + 1))

    return nodes


def packed(bundle: dict[str, Any]) -> bytes:
    """The bundle as bytes."""
    return json.dumps(bundle).encode()


def sample_log(
    votes: list[dict[str, Any]] | None = None,
    request: dict[str, Any] | None = None,
    requested: dict[str, Any] | None = None,
) -> SampleLog:
    """A log of 17 entries: genesis, an incident, a whole activation, and another one beside it."""
    request = REQUEST if request is None else request
    log = SampleLog()
    other = "activation:act000000002"
    log.add("installation", "installation:created", {"quorum": 1})
    log.add(
        "installation",
        "bundle:published",
        {"configuration_digest": REQUEST["configuration_digest"]},
    )
    log.add(INCIDENT, "incident:declared", {"incident": "inc-7", "person": "ada"})
    log.add(INCIDENT, "incident:confirmed", {"incident": "inc-7", "person": "dora"})
    log.add(
        STREAM,
        "activation:requested",
        {"request": request, "digest": digest_of(request)} | (requested or {}),
        personal={"justification": commit(SALT, "orders are stuck")},
    )
    log.add(other, "activation:requested", {"request": {}, "digest": ""})
    for data in [vote("bob", 1), vote("cleo", 2)] if votes is None else votes:
        log.add(STREAM, "approval:recorded", data)
    log.add(STREAM, "activation:approved", {"persons": ["bob", "cleo"]})
    log.add(STREAM, "activation:activated", {"not_after": "2026-11-24T05:09:13.000001Z"})
    log.add(other, "activation:lapsed", {}, close=True)
    log.add(STREAM, "lease:issued", {"lease": "l1"})
    log.add(STREAM, "activation:ended", {"reason": "returned"})
    log.add(INCIDENT, "incident:resolved", {"incident": "inc-7", "by": "dora"})
    log.add(STREAM, "lease:ended", {"lease": "l1", "evidence": "refused"})
    log.add(STREAM, "activation:reviewed", {"verdict": "justified"}, close=True)
    log.add("installation", "key:rotated", {"use": "token"})
    return log
