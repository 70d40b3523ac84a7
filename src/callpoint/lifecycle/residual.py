"""What outlives expiry when Callpoint is dead: told to approvers, refused unless accepted (I3)."""

from collections.abc import Iterable

from callpoint.domain.eligibility import Eligibility, Lane, parse_opening
from callpoint.domain.errors import DeniedError, TargetError, UnavailableError
from callpoint.lifecycle.services import Services
from callpoint.ports.targets import Connector, Residual


async def residual_of(services: Services, target: str) -> Residual | None:
    """Worst case on a target; None when it does not answer, which is not the same as unbounded.

    Raises:
        UnavailableError: This process has no connector for the target.
    """
    try:
        return await connector(services, target).residual()
    except TargetError:
        return None


async def residual_findings(
    services: Services, eligibility: Eligibility, opens: Iterable[str]
) -> tuple[str, ...]:
    """One line for each target whose live sessions nothing would end; approvers sign over it.

    Raises:
        DeniedError: Break glass, unbounded, and the eligibility does not accept it.
    """
    lines: list[str] = []
    for target in sorted({parse_opening(text).target for text in opens}):
        residual = await residual_of(services, target)
        if residual is None:
            lines.append(f"residual access on {target} is unknown: it does not answer now")
        elif residual.bound is None:
            must_be_accepted(eligibility, target, residual)
            lines.append(f"residual access on {target} is unbounded: {residual.because}")
    return tuple(lines)


def must_be_accepted(eligibility: Eligibility, target: str, residual: Residual) -> None:
    """Refuse direct use in the break-glass lane where nothing ends a session, unless accepted."""
    unbounded = residual.bound is None
    if unbounded and eligibility.lane is Lane.BREAK_GLASS and not eligibility.accept_residual:
        raise DeniedError(
            f"a session on {target} could outlive its expiry: {residual.because}",
            way_out=(
                residual.way_out
                or f"have the owner of {target} run what `callpoint target prepare {target}` prints"
            )
            + f"; or have governors publish eligibilities.{eligibility.id}.accept_residual",
        )


def connector(services: Services, target: str) -> Connector:
    """The connector of a target.

    Raises:
        UnavailableError: This process has none.
    """
    found = services.targets.get(target)
    if found is None:
        raise UnavailableError(
            f"no connector for {target} runs here",
            way_out="check the target's settings in the server's environment and restart",
        )
    return found
