"""The configuration in force, and rows that were changed by hand."""

from collections.abc import Iterator

from callpoint.lifecycle.symptoms.observed import Observed
from callpoint.lifecycle.symptoms.symptom import Code, Severity, Symptom, symptom


def check_rules(seen: Observed) -> Iterator[Symptom]:
    """Whether the rules can be used, and whether this process works by the newest ones."""
    if seen.published > seen.followed:
        yield symptom(
            Severity.URGENT,
            Code.RULES_NOT_FOLLOWED,
            f"configuration {seen.published}",
            f"configuration {seen.published} is published, and this server works by"
            f" {seen.followed or 'none'}{_because(seen)}",
            _step(seen) or "restart `callpoint serve` on this machine",
        )
    elif seen.rules_error is not None:
        yield symptom(
            Severity.URGENT,
            Code.RULES_UNUSABLE,
            f"configuration {seen.published}",
            f"nothing is given, because the rules in force cannot be used: "
            f"{seen.rules_error.message}",
            _step(seen) or "run `callpoint verify log` over an export, and tell the governors",
        )
    if seen.installation.trial:
        yield symptom(
            Severity.NOTICE,
            Code.TRIAL,
            seen.installation.id,
            "this is a trial: one governor alone rules",
            "for production make an installation with at least two governors: `callpoint init`",
        )


def _because(seen: Observed) -> str:
    return f": {seen.rules_error.message}" if seen.rules_error else ""


def _step(seen: Observed) -> str:
    return seen.rules_error.way_out if seen.rules_error else ""


def check_rows(seen: Observed) -> Iterator[Symptom]:
    """Kinds of rows of which one does not parse: it is passed over by what takes away."""
    for kind in seen.spoilt:
        yield symptom(
            Severity.URGENT,
            Code.ROW_SPOILT,
            kind,
            f"a row of kind {kind} in the database was changed by hand and does not parse",
            "keep the database as it is; `callpoint log export`, then `callpoint verify log`; what"
            " the row was about is revoked as an unknown account",
        )
