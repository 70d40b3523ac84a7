"""A target in memory that behaves as badly as a real one.

It keeps the traps that matter to a life cycle: a dropped account's session goes on until it is
killed, expiry stops logins but no session, what a session left behind (a role, a grant) survives
the account. Calls can be made to fail "not done" and "done but unanswered".
"""

import asyncio
import re
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from callpoint.domain.errors import RequestError, TargetRefusedError, TargetUnknownError
from callpoint.domain.lease_kind import LeaseKind
from callpoint.domain.undo_plan import UndoPlan
from callpoint.ports.clock import Clock, Random
from callpoint.ports.inventory import Account as Inventoried
from callpoint.ports.inventory import Moment
from callpoint.ports.targets import (
    Absence,
    Attempt,
    Check,
    Credential,
    Issued,
    ManagedAccount,
    MintRequest,
    Persistence,
    ProbeResult,
    Residual,
    SelfTest,
)
from tests.fakes.faults import Fault, Faults
from tests.fakes.simulated_accounts import Account, Left, LoginRefusedError, Session
from tests.fakes.simulated_static import FOREVER, OWNERS_SECRET, SimulatedStatic

__all__ = ["Account", "Fault", "Left", "LoginRefusedError", "Session", "SimulatedTarget"]

PREFIX = "cp_"
_HANDLE = re.compile(r"[a-z0-9]{1,24}")


class SimulatedTarget:
    """Implements ``ports.targets.Connector`` in memory.

    Attributes:
        accounts: What is in the catalogue, by account name. Change it freely (insider, backup).
        sessions: Every session ever opened; ``alive`` says whether it still works.
        left: What sessions left behind.
        down: Nobody answers: calls raise ``TargetUnknownError``, ``probe`` says unknown.
        offset: The target's clock minus the given clock.
        endpoints: Endpoints besides the primary (standbys, poolers).
        unreachable: Those of ``endpoints`` that do not answer now.
        stubborn: Accounts whose sessions cannot be killed.
        others: Accounts that Callpoint has nothing to do with, for ``inventory``.
        reaper: How often the owner's reaper runs; None means residual access is unbounded.
        unbounded_until: What would bound it, where that is no script of the owner's.
        calls: ``(method, account)`` of every call, also failed ones, in order.
        failing: Checks that its selftest reports besides its own.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        random: Random,
        installation: str,
        *,
        roles: tuple[str, ...] = ("repair", "read"),
        checked_out: dict[str, str] | None = None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._random = random
        self._installation = installation
        self.roles = roles
        self.accounts: dict[str, Account] = {}
        self.sessions: list[Session] = []
        self.left: list[Left] = []
        self.down = False
        self.offset = timedelta(0)
        self.endpoints: tuple[str, ...] = ()
        self.unreachable: set[str] = set()
        self.stubborn: set[str] = set()
        self.reaper: timedelta | None = timedelta(seconds=30)
        self.unbounded_until = ""
        self.others: list[Inventoried] = []
        self.calls: list[tuple[str, str]] = []
        self.failing: tuple[Check, ...] = ()
        self._faults = Faults()
        self.static = SimulatedStatic(self, checked_out or {})
        for account in self.static.roles.values():
            end = clock.now() + FOREVER
            self.accounts[account] = Account("", account, "", OWNERS_SECRET, end)

    # ------------------------------------------------------------------ for tests

    def fail(
        self, method: str, how: Fault | str = Fault.NOT_DONE, times: int = 1, *, after: int = 0
    ) -> None:
        """Make the next ``times`` calls of ``method`` fail, once ``after`` of them succeeded."""
        self._faults.plan(method, Fault(how), times, after)

    def open_session(self, username: str, secret: str, endpoint: str = "primary") -> Session:
        """Log in as an actor does.

        Raises:
            LoginRefusedError: Wrong, expired, disabled or unknown.
            ConnectionError: The target is down.
        """
        if self.down:
            raise ConnectionError(f"{self._name} does not answer")
        account = self.accounts.get(username)
        if account is None or account.secret is None or account.secret != secret:
            raise LoginRefusedError("28P01")
        if account.not_after <= self.time():
            raise LoginRefusedError("28P01")
        if not account.enabled:
            raise LoginRefusedError("28000")
        session = Session(username, endpoint, self)
        self.sessions.append(session)
        return session

    def live_sessions(self, username: str | None = None) -> list[Session]:
        """Sessions that still work, of one account or of all."""
        return [s for s in self.sessions if s.alive and username in {None, s.account}]

    def live_credentials(self) -> list[Account]:
        """Accounts that somebody could still log in with."""
        return [
            account
            for account in self.accounts.values()
            if account.enabled and account.secret is not None and account.not_after > self.time()
        ]

    def plant(self, handle: str, *, secret: str = "planted", lifetime: timedelta) -> Account:
        """Put an account on the target that Callpoint does not know of."""
        name = PREFIX + handle
        account = Account(handle, name, self.roles[0], secret, self.time() + lifetime)
        self.accounts[name] = account
        return account

    def reap(self) -> None:
        """What the owner's reaper does: end everything whose time is over, without Callpoint."""
        for account in list(self.accounts.values()):
            if account.not_after <= self.time():
                self._kill(account.name)
                del self.accounts[account.name]

    def time(self) -> datetime:
        """The target's own clock."""
        return self._clock.now() + self.offset

    # ------------------------------------------------------------------ the port

    @property
    def target(self) -> str:
        return self._name

    @property
    def rotator(self) -> SimulatedStatic | None:
        return self.static if self.static.roles else None

    def plan(self, request: MintRequest) -> UndoPlan:
        if request.role not in {*self.roles, *self.static.roles}:
            raise RequestError(f"target {self._name} has no role {request.role!r}")
        if not _HANDLE.fullmatch(request.handle):
            raise RequestError("a handle is 1 to 24 characters of a-z and 0-9")
        if not request.handle.startswith(self._installation):
            raise RequestError("the handle belongs to another installation")
        static = self.static.roles.get(request.role)
        return UndoPlan(
            connector="simulated",
            target=self._name,
            role=request.role,
            handle=request.handle,
            kind=LeaseKind.CHECKED_OUT if static else LeaseKind.MINTED,
            account=static or PREFIX + request.handle,
            not_after=request.not_after,
            details={"parent": request.role, "sources": ",".join(request.sources)},
        )

    def adopt(self, account: ManagedAccount) -> UndoPlan:
        return UndoPlan(
            connector="simulated",
            target=self._name,
            role="",
            handle=account.handle,
            account=account.account,
            not_after=account.not_after or self.time(),
        )

    async def issue(self, plan: UndoPlan) -> Issued:
        with await self.call("issue", plan.account):
            self._own(plan, minted=True)
            if plan.account in self.accounts:
                raise TargetRefusedError(
                    f"account {plan.account} exists already", target=self._name, code="42710"
                )
            if plan.not_after <= self.time():
                raise TargetRefusedError(
                    f"{plan.not_after} is over", target=self._name, code="22023"
                )
            baseline = self.snapshot()
            secret = self._random.token(24).hex()
            self.accounts[plan.account] = Account(
                plan.handle, plan.account, plan.role, secret, plan.not_after
            )
            credential = Credential(
                username=plan.account,
                secret=secret,
                endpoint={"host": self._name, "port": "0"},
                hint=f"simulated {self._name}",
            )
            return Issued(credential=credential, baseline=baseline)

    async def probe(self, plan: UndoPlan, credential: Credential) -> ProbeResult:
        try:
            with await self.call("probe", plan.account):
                return self._attempt(credential)
        except (TargetUnknownError, TargetRefusedError):
            return ProbeResult(Attempt.UNKNOWN)

    async def disable(self, plan: UndoPlan) -> None:
        with await self.call("disable", plan.account):
            self._own(plan)
            account = self.accounts.get(plan.account)
            if account is not None:
                account.enabled = False
                account.secret = account.secret if self.static.owns(account.name) else None

    async def kill_sessions(self, plan: UndoPlan) -> int:
        with await self.call("kill_sessions", plan.account):
            self._own(plan)
            self._kill(plan.account)
            if self.unreachable:
                raise TargetUnknownError(
                    f"no answer from {sorted(self.unreachable)}", target=self._name
                )
            return len(self.live_sessions(plan.account))

    async def diff_persistence(
        self, plan: UndoPlan, baseline: dict[str, list[str]] | None
    ) -> tuple[Persistence, ...]:
        with await self.call("diff_persistence", plan.account):
            known = baseline or {}
            return tuple(
                Persistence(kind=item.kind, name=item.name, detail=f"made by {item.by}")
                for item in self.left
                if (
                    item.by == plan.account
                    if baseline is None
                    else item.name not in known.get(item.kind, [])
                )
                and not item.owned
            )

    async def revoke(self, plan: UndoPlan) -> None:
        with await self.call("revoke", plan.account):
            self._own(plan, minted=True)
            self.accounts.pop(plan.account, None)
            self.left = [i for i in self.left if not (i.owned and i.by == plan.account)]

    async def verify_absent(self, plan: UndoPlan, credential: Credential | None) -> Absence:
        with await self.call("verify_absent", plan.account):
            return Absence(
                in_catalogue=plan.account in self.accounts,
                sessions=sum(
                    session.endpoint not in self.unreachable
                    for session in self.live_sessions(plan.account)
                ),
                unreachable=tuple(sorted(self.unreachable)),
                attempt=None if credential is None else self._attempt(credential),
            )

    async def list_managed(self) -> tuple[ManagedAccount, ...]:
        with await self.call("list_managed", ""):
            own = PREFIX + self._installation
            return tuple(
                ManagedAccount(
                    handle=account.handle,
                    account=account.name,
                    enabled=account.enabled,
                    not_after=account.not_after,
                )
                for account in self.accounts.values()
                if account.name.startswith(own)
            )

    async def inventory(self) -> tuple[Inventoried, ...]:
        with await self.call("inventory", ""):
            return tuple(
                Inventoried(
                    name=account.name,
                    handle=account.handle,
                    can_log_in=account.enabled,
                    expires=Moment(known=True, at=account.not_after),
                    sessions=len(self.live_sessions(account.name)),
                )
                for account in self.accounts.values()
            ) + tuple(self.others)

    async def selftest(self, *, trial: bool = True) -> SelfTest:
        with await self.call("selftest", ""):
            residual = self._residual()
            checks = (Check(name="answers", ok=True), *self.failing)
            return SelfTest(checks=checks, residual=residual, skew=self.offset)

    async def residual(self) -> Residual:
        with await self.call("residual", ""):
            return self._residual()

    async def skew(self) -> timedelta:
        with await self.call("skew", ""):
            return self.offset

    # ------------------------------------------------------------------ inside

    def _residual(self) -> Residual:
        return Residual(
            bound=self.reaper,
            because="the owner's reaper ends sessions after expiry"
            if self.reaper
            else "nothing on the target ends a live session",
            way_out=self.unbounded_until,
        )

    async def call(self, method: str, account: str) -> AbstractContextManager[None]:
        self.calls.append((method, account))
        await asyncio.sleep(0)
        if self.down:
            raise TargetUnknownError(f"{self._name} does not answer", target=self._name)
        return self._faults.guard(method, self._name)

    def _own(self, plan: UndoPlan, *, minted: bool = False) -> None:
        if self.static.owns(plan.account) and not minted:
            return
        if not plan.account.startswith(PREFIX + self._installation):
            raise TargetRefusedError(
                f"{plan.account} belongs to another installation", target=self._name, code="42501"
            )

    def _attempt(self, credential: Credential) -> ProbeResult:
        try:
            session = self.open_session(credential.username, credential.secret)
        except LoginRefusedError as refused:
            return ProbeResult(Attempt.REFUSED, refused.code)
        session.alive = False
        return ProbeResult(Attempt.ACCEPTED)

    def _kill(self, account: str) -> None:
        if account in self.stubborn:
            return
        for session in self.live_sessions(account):
            if session.endpoint not in self.unreachable:
                session.alive = False

    def snapshot(self) -> dict[str, list[str]]:
        kinds = sorted({item.kind for item in self.left})
        return {k: sorted(i.name for i in self.left if i.kind == k) for k in kinds}
