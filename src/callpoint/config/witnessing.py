"""Limits between the keys of ``[witnessing]``: a quorum that can be met, by distinct parties."""

from callpoint.audit.cosignature import WitnessKey
from callpoint.config.document import Problems
from callpoint.domain.counted import plural
from callpoint.domain.witnessing import Witnessing


def check_witnessing(found: Witnessing, problems: Problems) -> None:
    """Note a quorum without enough witnesses, and what two entries share."""
    if found.quorum > len(found.witnesses):
        problems.add(
            ("witnessing", "quorum"),
            f"{plural(found.quorum, 'witness', 'witnesses')} must have cosigned, and there"
            f" {'is' if len(found.witnesses) == 1 else 'are'} {len(found.witnesses) or 'none'}",
            "name more witnesses or lower the quorum: nothing could ever be issued",
        )
    keys: dict[bytes, str] = {}
    names: dict[str, str] = {}
    for witness in found.witnesses.values():
        # The signed message holds no name, so one key is one witness under any name.
        other = keys.setdefault(WitnessKey.parse(witness.key).key, witness.id)
        other = names.setdefault(witness.key_name, witness.id) if other == witness.id else other
        if other != witness.id:
            problems.add(
                ("witnessing", "witnesses", witness.id, "key"),
                f"is the key, or has the key name, of {other!r} too",
                "two entries for one witness would count twice: keep one of them",
            )
    origins: dict[str, str] = {}
    for log in found.logs.values():
        other = origins.setdefault(log.origin, log.id)
        if other != log.id:
            problems.add(
                ("witnessing", "logs", log.id, "origin"),
                f"is the origin of {other!r} too",
                "write its keys into one entry",
            )
