"""What a script target's configuration says, checked once."""

import re
from datetime import timedelta
from enum import StrEnum

import msgspec

from callpoint.domain.errors import ConfigError

_PROGRAM = re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._+-]{1,100}){1,12}")
_ACCOUNT = re.compile(r"[!#-&(-~]{1,63}")
_LONGEST = timedelta(seconds=12)


class Between(StrEnum):
    """What the program makes of an account that nobody has."""

    LOCKED = "locked"
    ROTATED = "rotated"


class ScriptRole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One account that is checked out. Its ``repr`` hides the secret.

    Attributes:
        account: As the program and the target call it.
        between: What it is while nobody has it.
        initial: Its secret before the first rotation; empty when the program needs none.
    """

    account: str
    between: Between = Between.ROTATED
    initial: str = ""

    def __repr__(self) -> str:
        return f"ScriptRole(account={self.account!r}, between={self.between.value!r})"


class ScriptSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One target.

    Attributes:
        name: The target's configured name.
        installation: The installation's id, for handles.
        program: Absolute path of the owner's executable.
        roles: Target role to account.
        host: What the holder connects to; likewise ``port`` (0: not told).
        limit: How long one call may take.
    """

    name: str
    installation: str
    program: str
    roles: dict[str, ScriptRole]
    host: str
    port: int = 0
    limit: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        self._must(bool(_PROGRAM.fullmatch(self.program)), "program", "an absolute path")
        self._must(bool(self.roles), "roles", "at least one role with its account")
        for role, given in self.roles.items():
            self._must(
                bool(_ACCOUNT.fullmatch(given.account)),
                f"roles.{role}.account",
                "visible ASCII without quotes and spaces, at most 63",
            )
        self._must(timedelta() < self.limit <= _LONGEST, "seconds", "1 to 12")

    @property
    def accounts(self) -> tuple[str, ...]:
        """The allow-list of accounts, sorted."""
        return tuple(sorted({role.account for role in self.roles.values()}))

    def of_account(self, account: str) -> ScriptRole | None:
        """The settings of an account, None when it is on no list."""
        return next((role for role in self.roles.values() if role.account == account), None)

    def _must(self, holds: bool, key: str, way_out: str) -> None:  # noqa: FBT001 - an assertion
        if not holds:
            raise ConfigError(
                f"{key} is not valid for a script target",
                key=f"targets.{self.name}.{key}",
                way_out=f"write {way_out}",
            )
