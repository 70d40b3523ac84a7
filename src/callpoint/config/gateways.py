"""Limits between gateways, targets and allowances: nothing is promised that nobody keeps."""

import msgspec

from callpoint.config.document import Problems
from callpoint.config.offline import check_offline
from callpoint.config.positions import Path
from callpoint.domain.allowance import Allowance
from callpoint.domain.configuration import Configuration
from callpoint.domain.eligibility import Eligibility


def check_gateways(found: Configuration, problems: Problems) -> None:
    """Note what is said about passing actions where none pass."""
    for target in found.targets.values():
        if target.behind:
            continue
        for key in ("evidence", "recording"):
            if getattr(target, key) is not msgspec.UNSET:
                problems.add(
                    ("targets", target.id, key),
                    "says how actions go on record, and without a gateway none does",
                    "name its gateway, or leave the key out",
                )
    for eligibility in found.eligibilities.values():
        if eligibility.allowance is not msgspec.UNSET:
            _check_allowance(found, eligibility, problems)
        check_offline(found, eligibility, problems)


def _check_allowance(found: Configuration, rule: Eligibility, problems: Problems) -> None:
    path: Path = ("eligibilities", rule.id, "allowance")
    if rule.spends == Allowance():
        problems.add(path, "limits nothing", "name at least one limit, or leave the key out")
    for opening in rule.opens:
        target = found.targets.get(opening.target)
        if target is not None and not target.behind:
            problems.add(
                path,
                f"counts nothing on {target.id}, which is behind no gateway",
                f"put {target.id} behind a gateway, or open it with an eligibility of its own",
            )
