"""Roles that are checked out: which keys they take, beside those of roles that are minted."""

import re

from callpoint.config.document import Problems
from callpoint.config.kinds import choice, matching
from callpoint.config.positions import Path
from callpoint.config.shape import Key, Shape, Values

KIND = "checked_out"

_ACCOUNT = matching(
    "an account of the owner's: visible ASCII without quotes and spaces, at most 63",
    re.compile(r"(?!cp_|pg_)[!#-&(-~]{1,63}"),
)

_POSTGRESQL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

ROLE: Shape = (
    Key(
        "kind",
        choice(("minted", KIND)),
        "minted, also when it is left out: an account is made for each activation. checked_out: "
        "`account` gets a fresh secret for one activation at a time, and a new one at its end.",
        default=None,
    ),
    Key(
        "account",
        _ACCOUNT,
        "The owner's account that is checked out; checked_out only.",
        default=None,
    ),
    Key(
        "between",
        choice(("locked", "rotated")),
        "What that account is while nobody has it. locked: it lets nobody in. rotated: whoever "
        "knows its secret gets in, and only the installation's vault does.",
        default=None,
    ),
)


def check_postgresql(role: Values, settings: Values, path: Path, problems: Problems) -> None:
    """Note what does not go together in a role of a PostgreSQL target."""
    if role.get("kind") != KIND:
        for key in ("account", "between"):
            if key in role:
                way_out = f'write kind = "{KIND}" as well'
                problems.add((*path, key), "is for checked-out roles", way_out)
        if "parent" not in role:
            way_out = "name the owner's role whose rights the credential gets"
            problems.add((*path, "parent"), "is missing", way_out)
        return
    if "parent" in role:
        way_out = "leave it out: the account has rights of its own"
        problems.add((*path, "parent"), "is for minted roles", way_out)
    if settings.get("mode") == "createrole":
        problems.add(
            (*path, "kind"),
            'does not go with mode = "createrole": such a broker cannot be kept to a list',
            'write mode = "functions"',
        )
    if not _POSTGRESQL.fullmatch(role.get("account", "x")):
        way_out = "rename the role: letters, digits and _, at most 63"
        problems.add((*path, "account"), "is no role name that the functions take", way_out)
    _check_account(role, path, problems)


def check_script(role: Values, settings: Values, path: Path, problems: Problems) -> None:  # noqa: ARG001 -- as the one above
    """Note what does not go together in a role of a script target."""
    if role.get("kind") != KIND:
        problems.add((*path, "kind"), "cannot be minted here", f'write kind = "{KIND}"')
    _check_account(role, path, problems)


def _check_account(role: Values, path: Path, problems: Problems) -> None:
    if "account" not in role:
        problems.add((*path, "account"), "is missing", "name the account that is checked out")
