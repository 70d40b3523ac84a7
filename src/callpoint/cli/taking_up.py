"""From approved to active: the credentials are made now."""

from callpoint.api.messages import ActivationView
from callpoint.cli.client import NoAnswerError
from callpoint.cli.invocation import Invocation
from callpoint.domain.activation import ActivationState
from callpoint.domain.errors import CallpointError, ConflictError, DeniedError


def take_up(run: Invocation, view: ActivationView) -> ActivationView:
    """The active activation, whether it is so already or is taken up now.

    Raises:
        DeniedError: It was denied, or lapsed: silence is a no.
        ConflictError: It is not approved yet, or over.
        CallpointError: Issuing failed; what may exist on a target is being revoked.
    """
    if view.state is ActivationState.APPROVED:
        view = _issue(run, view)
    if view.state is ActivationState.ACTIVE:
        return view
    raise reason_not(view)


def _issue(run: Invocation, view: ActivationView) -> ActivationView:
    try:
        return run.client.issue(view.id)
    except NoAnswerError:
        # It may have been done: the state says whether it was.
        after = run.client.activation(view.id)
        if after.state is ActivationState.APPROVED:
            raise
        return after


def reason_not(view: ActivationView) -> CallpointError:
    """Why an activation gives no access, as the error with the exit code of the reason."""
    if view.voided:
        return ConflictError(f"{view.id} is {view.state}: {view.next}")
    match view.state:
        case ActivationState.DENIED:
            reasons = tuple(
                f"{vote.person}: {vote.comment or 'no comment'}"
                for vote in view.votes
                if vote.verdict == "deny"
            )
            return DeniedError(f"{view.id} was denied", reasons=reasons)
        case ActivationState.LAPSED:
            tally = view.tally
            return DeniedError(
                f"{view.id} lapsed: {len(tally.counted)} of {tally.needed} approved in time",
                way_out="ask again with `callpoint request`, and call the approvers",
            )
        case ActivationState.REQUESTED:
            return ConflictError(
                f"{view.id} is not approved yet: {view.next}",
                way_out=f"wait for it with `callpoint request --resume {view.id} --wait`",
            )
        case _:
            why = f" ({view.end_reason})" if view.end_reason else ""
            return ConflictError(
                f"{view.id} is {view.state}{why}",
                way_out="further access needs a new request: `callpoint request`",
            )
