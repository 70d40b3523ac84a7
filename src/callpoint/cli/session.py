"""A session on a target, with the program that speaks its protocol: psql, ssh.

A further protocol is a module of its own like ``session_ssh``, and one line in ``PROGRAMS``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from callpoint.api.messages import ActivationView
from callpoint.cli import session_psql, session_ssh
from callpoint.cli.invocation import Invocation
from callpoint.domain.errors import RequestError
from callpoint.ports.box import SealedCredential


@dataclass(frozen=True, slots=True)
class SessionProgram:
    """The program for one protocol.

    Attributes:
        name: As it is called, and as it is installed.
        run: Runs it in the foreground with a credential and the caller's arguments; its status.
        broke_off: Whether a status says that the session ended before its user was done.
        has_others: Other programs take place and secret in the same way.
    """

    name: str
    run: Callable[[Invocation, str, SealedCredential, Sequence[str]], int]
    broke_off: Callable[[int], bool]
    has_others: bool = False


PROGRAMS: Mapping[str, SessionProgram] = {
    "postgresql": SessionProgram(
        "psql", session_psql.run_psql, session_psql.broke_off, has_others=True
    ),
    "ssh": SessionProgram("ssh", session_ssh.run_ssh, session_ssh.broke_off),
}
"""By protocol, which is the name of the connector, too."""


def run_session(
    run: Invocation, sealed: SealedCredential, arguments: Sequence[str], instead: str = ""
) -> int:
    """Run the right program, or ``instead``, in the foreground; returns its exit status.

    Raises:
        RequestError: No program here speaks with this target, or it is not installed.
    """
    program = program_for(sealed)
    path = _find(run, program, sealed.activation, instead)
    return program.run(run, path, sealed, arguments)


def program_for(sealed: SealedCredential) -> SessionProgram:
    """The program for a credential.

    Raises:
        RequestError: There is none for its protocol.
    """
    found = PROGRAMS.get(_protocol(sealed))
    if found is None:
        raise RequestError(
            f"no program here opens a session on {sealed.target}",
            way_out=f"`callpoint credentials {sealed.activation} --file FILE` writes the secret"
            f" to a file; then {sealed.credential.hint}",
        )
    return found


def how_to_connect(activation: str, found: Sequence[SealedCredential]) -> Iterator[str]:
    """The command that opens a session; where no program here does, what the connector says."""
    protocols = {sealed.target: _protocol(sealed) for sealed in found}
    if not protocols or PROGRAMS.keys() & protocols.values():
        yield f"to connect: callpoint connect {activation}"
    for sealed in found:
        if protocols[sealed.target] not in PROGRAMS:
            yield f"to connect to {sealed.target}: {sealed.credential.hint}"


def _protocol(sealed: SealedCredential) -> str:
    """What the target speaks: the name of a program's entry, or of none here."""
    endpoint = sealed.credential.endpoint
    # Credentials for PostgreSQL were made before there was another protocol to tell.
    return endpoint.get("protocol", "postgresql" if "dbname" in endpoint else "")


def foresee(run: Invocation, view: ActivationView, wanted: str = "", instead: str = "") -> None:
    """See that the program is here, before anything is taken up only for a session.

    Args:
        run: The invocation.
        view: Says by which connectors its targets are reached; an old server does not.
        wanted: ``target`` or ``target:role`` if one is named; else every target counts.
        instead: The program that is to be run, if not the usual one.

    Raises:
        RequestError: A program that will be needed is not installed.
    """
    target = wanted.partition(":")[0]
    for name, connector in view.connectors.items():
        if connector in PROGRAMS and name == (target or name):
            _find(run, PROGRAMS[connector], view.id, instead)


def need_a_program(run: Invocation) -> None:
    """The same before anything is asked for, when the targets are not known yet.

    Raises:
        RequestError: There is none for any protocol.
    """
    names = [program.name for program in PROGRAMS.values()]
    if not any(run.machine.find_program(name) for name in names):
        raise RequestError(
            f"none of {', '.join(names)} is installed here",
            way_out="install it, or ask without --connect and use `callpoint credentials ID"
            " --file FILE` with another client",
        )


def _find(run: Invocation, program: SessionProgram, activation: str, instead: str = "") -> str:
    if instead and not program.has_others:
        raise RequestError(
            f"{program.name} opens this session, and {instead[:80]!r} cannot",
            way_out="leave out --with",
        )
    name = instead or program.name
    path = run.machine.find_program(name)
    if path is None:
        other = ", name another client with --with" if program.has_others else ""
        raise RequestError(
            f"{name[:80]} is not installed here",
            way_out=f"install it{other}, or use `callpoint credentials {activation} --file FILE`",
        )
    return path
