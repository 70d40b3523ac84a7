"""Credentials on the requester's side: fetched sealed, opened here, and never shown by accident."""

import base64
import binascii
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from callpoint.api.messages import ActivationView
from callpoint.cli.invocation import Invocation
from callpoint.cli.words import moment
from callpoint.domain.errors import RequestError, TamperError
from callpoint.ports.box import Box, SealedCredential


def fetch(run: Invocation, view: ActivationView) -> tuple[SealedCredential, ...]:
    """Every live credential of an active activation, opened; it is recorded that they were fetched.

    Args:
        run: The invocation.
        view: From ``taking_up.take_up``, so that it is active.

    Raises:
        NotFoundError: The one-time key is not on this machine; nothing was fetched then.
        ConflictError: It ended meanwhile.
        TamperError: A box holds something else than the server says.
    """
    # First, so that a machine without the key does not leave a reveal in the log.
    run.keyring.rename(view.request.seal_to, view.id)
    return tuple(_open(run, view, box) for box in run.client.credentials(view.id).boxes)


def _open(run: Invocation, view: ActivationView, box: Box) -> SealedCredential:
    try:
        sealed = base64.b64decode(box.box, validate=True)
        inside = msgspec.json.decode(
            run.keyring.open_box(view.id, sealed), type=SealedCredential, strict=True
        )
    except (binascii.Error, msgspec.DecodeError):
        # Without the cause, which could quote the secret.
        raise TamperError(f"the box of {box.lease} holds no credential") from None
    found = (inside.installation, inside.activation, inside.lease, inside.target, inside.role)
    if found != (view.request.installation, view.id, box.lease, box.target, box.role):
        raise TamperError(
            f"the box of {box.lease} on {box.target} holds the credential of {inside.lease} on"
            f" {inside.target}",
            way_out="do not use it; `callpoint return` and tell the governors",
        )
    return inside


def choose(found: Sequence[SealedCredential], wanted: str) -> SealedCredential:
    """The one credential that is meant: the only one, or ``target`` or ``target:role``.

    Raises:
        RequestError: None or several fit.
    """
    fits = [c for c in found if not wanted or wanted in (c.target, f"{c.target}:{c.role}")]
    if len(fits) == 1:
        return fits[0]
    names = ", ".join(f"{c.target}:{c.role}" for c in found) or "(none)"
    problem = f"no credential for {wanted[:80]!r}" if not fits else "there are several credentials"
    raise RequestError(problem, way_out=f"name one with --open: {names}")


def described(found: Iterable[SealedCredential], *, show_secret: bool) -> Iterator[str]:
    """What can be told of credentials; the secret only on request."""
    for sealed in found:
        credential = sealed.credential
        yield f"{sealed.target} as {sealed.role}, until {ends(sealed)}"
        yield f"  {'user':<12}{credential.username}"
        for key, value in credential.endpoint.items():
            yield from (f"  {key:<12}{line}" for line in value.splitlines())
        if show_secret:
            yield from _secret(credential.secret)


def _secret(secret: str) -> Iterator[str]:
    """A password beside its name; a key as it goes into a file, so from the first column on."""
    lines = secret.splitlines()
    if len(lines) == 1:
        yield f"  {'secret':<12}{secret}"
        return
    yield "  secret:"
    yield from lines


def ends(sealed: SealedCredential) -> str:
    """The moment of its end, for a person; as it came if it is written in another form."""
    try:
        return moment(datetime.fromisoformat(sealed.not_after))
    except ValueError:
        return sealed.not_after


def without_secret(sealed: SealedCredential) -> dict[str, object]:
    """For JSON: everything but the secret."""
    facts: dict[str, object] = msgspec.to_builtins(sealed)
    inner = dict(msgspec.to_builtins(sealed.credential))
    del inner["secret"]
    return {**facts, "credential": inner}


def write_credentials(path: Path, found: Sequence[SealedCredential]) -> None:
    """Write credentials, secrets included, to a new file that only its owner reads (0600).

    Raises:
        RequestError: There is such a file, or it cannot be written.
    """
    content = msgspec.json.format(msgspec.json.encode(found)) + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError as error:
        raise RequestError(
            f"{path} exists; a credential is never written over something",
            way_out="name a file that does not exist yet",
        ) from error
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written: {error.strerror}", way_out="name another file"
        ) from error
