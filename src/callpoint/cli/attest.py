"""`callpoint attest LEASE`: a target that is gone for good, said by two governors."""

import click

from callpoint.cli.invocation import Invocation, verb
from callpoint.domain.lease import LeaseState


@verb("attest")
@click.argument("lease", metavar="LEASE")
@click.option("--because", required=True, metavar="WORDS", help="How you know that it is gone.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def attest(run: Invocation, lease: str, because: str, *, yes: bool) -> None:
    """Say that the target of LEASE no longer exists, so that nothing can prove it dead.

    LEASE is its id, as `callpoint status` tells it when it comes to that. The target is tried once
    more first. It takes two governors; what they close so is a finding of the review.
    """
    name = lease.removeprefix("cp_")
    run.confirm(f"Attest that the target of {name} no longer exists?", yes=yes)
    done = run.client.attest(name, because)
    missing = done.needed - len(done.attested_by)
    lines = [f"{done.target}: attested by {', '.join(done.attested_by)}"]
    lines.append(
        f"lease {done.lease} is closed; the review reads that it was not proven dead"
        if done.state is LeaseState.ENDED
        else f"{missing} more governor must attest: `callpoint attest {done.lease}`"
    )
    run.show(done, lines)
