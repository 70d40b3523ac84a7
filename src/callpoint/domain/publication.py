"""Who signed a change: distinct governors of the configuration that is still in force (I15)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from callpoint.domain.errors import DeniedError
from callpoint.domain.event import SignatureRecord

IsValid = Callable[[str, bytes, str], bool]
"""``ports.keys.Verifier.is_valid``: key, message and signature, the first and last in base64."""


class Signable(Protocol):
    """A bundle or a key rotation."""

    def message(self) -> bytes:
        """The exact bytes that a governor signs."""
        ...


def verify_signatures(
    change: Signable,
    signatures: Iterable[SignatureRecord],
    governors: Mapping[str, str],
    need: int,
    is_valid: IsValid,
) -> tuple[str, ...]:
    """The governors whose signatures count, sorted; at least ``need`` of them.

    A governor counts once, however often and under however many names the key stands there.

    Args:
        change: What is to be published.
        signatures: As handed in, by anybody.
        governors: Person id to public key (base64): of the bundle in force, or of genesis when
            there is none. Never of the proposed bundle, which would sign itself in.
        need: From ``widening.required_signatures``.
        is_valid: Checks one Ed25519 signature.

    Raises:
        DeniedError: Too few, with what is wrong with each and who may still sign.
    """
    message = change.message()
    signed: dict[str, str] = {}
    reasons: list[str] = []
    for record in signatures:
        why = _refusal(record, governors, message, is_valid)
        if why:
            reasons.append(why)
        elif governors[record.governor] in signed.values() and record.governor not in signed:
            reasons.append(f"{record.governor} has the key of a governor who signed already")
        else:
            signed[record.governor] = record.key
    need = max(need, 1)
    if len(signed) < need:
        raise _too_few(signed, governors, need, tuple(reasons))
    return tuple(sorted(signed))


def counting(
    change: Signable,
    signatures: Iterable[SignatureRecord],
    governors: Mapping[str, str],
    is_valid: IsValid,
) -> tuple[SignatureRecord, ...]:
    """One good signature of each governor, sorted: what else was handed in is no evidence."""
    message = change.message()
    good = {r.governor: r for r in signatures if not _refusal(r, governors, message, is_valid)}
    return tuple(good[governor] for governor in sorted(good))


def _refusal(
    record: SignatureRecord, governors: Mapping[str, str], message: bytes, is_valid: IsValid
) -> str:
    """Why a signature does not count, or empty. Names are a stranger's, so they are shortened."""
    name = repr(record.governor[:64])
    key = governors.get(record.governor)
    if key is None:
        return f"{name} is not a governor in force"
    if record.key != key:
        return f"{name} signed with a key that is not this governor's key in force"
    if not is_valid(key, message, record.signature):
        return f"the signature of {name} does not fit this change"
    return ""


def _too_few(
    signed: Mapping[str, str], governors: Mapping[str, str], need: int, reasons: tuple[str, ...]
) -> DeniedError:
    may_still = sorted(g for g, key in governors.items() if key not in signed.values())
    missing = need - len(signed)
    have = f"{len(signed)} of {need} needed governors signed"
    return DeniedError(
        f"the change is not published: {have}",
        reasons=reasons,
        way_out=(
            f"get {missing} more from: {', '.join(may_still)} (`callpoint sign BUNDLE`)"
            if len(may_still) >= missing
            else f"only {len(may_still)} more can sign; the quorum in force cannot be met"
        ),
    )
