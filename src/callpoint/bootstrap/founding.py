"""``callpoint init``: a new installation, in two steps that a crash cannot tear apart.

1. *Propose*: keys, installation id and the first bundle, in a folder that appears whole.
2. *Found*: the governors' signatures put the bundle in force; genesis and bundle are one
   transaction. Until it is known to be done, ``proposal.json`` stays, and running it again resumes.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from callpoint.adapters.keys.files import Ed25519Verifier, create_keys
from callpoint.bootstrap.home import Home, sync_folder, write
from callpoint.bootstrap.outside import Outside, open_store
from callpoint.bootstrap.shell_word import shell_word
from callpoint.config.files import Sources
from callpoint.config.settings import FILE, load_settings
from callpoint.config.soundness import check_bundle
from callpoint.domain.errors import (
    ConflictError,
    DeniedError,
    RequestError,
    StoreUnavailableError,
)
from callpoint.domain.event import SignatureRecord
from callpoint.domain.governance import Bundle, InForce, Installation
from callpoint.domain.ids import INSTALLATION_LENGTH
from callpoint.domain.publication import verify_signatures
from callpoint.lifecycle.found import found
from callpoint.ports.clock import Random
from callpoint.ports.stores import Store

_STORE_SETTINGS = """\
[store]
kind = "postgresql"
dsn = {{ env = "{variable}" }}
"""


@dataclass(frozen=True)
class GovernorKey:
    """A governor's key on this machine: its public half, and what signs with it."""

    public: str
    sign: Callable[[bytes], str]


def draft_bundle(home: Path, sources: Sources | None, random: Random) -> Bundle:
    """The first bundle: a new one, or the one that is proposed in the folder. Writes nothing.

    Args:
        home: A folder that does not exist, is empty, or holds the same proposal.
        sources: The configuration directory, read; None for what is proposed.
        random: For the installation's id.

    Raises:
        ConflictError: There is something else in the folder.
        ConfigError: The configuration cannot be published.
        RequestError: Nothing is proposed and no configuration is given.
    """
    place = Home(home)
    if place.is_proposed:
        return place.proposed() if sources is None else _resumed(place, sources)
    _must_be_free(home)
    if sources is None:
        raise RequestError(
            f"{home} holds no proposal", way_out="name the configuration with --config DIR"
        )
    identity = random.ident(INSTALLATION_LENGTH)
    bundle = Bundle(identity, 1, "", sources.configuration, sources.policies)
    check_bundle(bundle)
    return bundle


def make_home(home: Path, bundle: Bundle, *, store_variable: str = "") -> None:
    """Make the folder with new keys and the proposal; nothing to do where it is proposed already.

    Args:
        home: As for ``draft_bundle``.
        bundle: From there.
        store_variable: Environment variable with PostgreSQL's DSN; empty for SQLite.

    Raises:
        ConflictError: There is something else in the folder.
        StoreUnavailableError: The folder cannot be written.
    """
    if Home(home).is_proposed:
        return
    origin = f"callpoint/{bundle.installation}"
    governance = bundle.configuration.governance
    with _appearing(home) as draft:
        keys = create_keys(draft.keys, log_name=origin)
        draft.write_installation(
            Installation(
                id=bundle.installation,
                origin=origin,
                log_key=keys.log_key,
                seal_recipient=keys.seal_recipient,
                token_key=keys.token_key,
                governors=governance.governors,
                quorum=governance.quorum,
            )
        )
        if store_variable:
            text = _STORE_SETTINGS.format(variable=store_variable)
            (draft.root / FILE).write_text(text, encoding="ascii")
        write(draft.proposal, bundle)


def sign_with(bundle: Bundle, keys: Sequence[GovernorKey]) -> tuple[SignatureRecord, ...]:
    """Signatures by keys on this machine.

    Raises:
        DeniedError: A key is no governor's.
    """
    names = {public: name for name, public in bundle.configuration.governance.governors.items()}
    records = []
    for key in keys:
        governor = names.get(key.public)
        if governor is None:
            raise DeniedError(
                f"the key {key.public} is not of a governor",
                way_out=f"sign with keys of: {', '.join(sorted(names.values()))}",
            )
        records.append(SignatureRecord(governor, key.public, key.sign(bundle.message())))
    return tuple(records)


def must_carry(bundle: Bundle, signatures: Sequence[SignatureRecord]) -> None:
    """Check the signatures before anything is made.

    Raises:
        DeniedError: They do not carry the first configuration.
    """
    governance = bundle.configuration.governance
    is_valid = Ed25519Verifier().is_valid
    verify_signatures(bundle, signatures, governance.governors, governance.quorum, is_valid)


async def found_home(
    home: Path, signatures: Sequence[SignatureRecord], outside: Outside
) -> Installation:
    """Write genesis and put the proposal in force.

    Raises:
        ConfigError: Nothing is proposed there.
        DeniedError: The signatures do not carry it; nothing was written.
        ConflictError: The store holds another installation.
        StoreUnavailableError: It is not known to be written; run it again.
    """
    place = Home(home)
    bundle, installation = place.proposed(), place.installation()
    must_carry(bundle, signatures)
    store = await open_store(load_settings(home), installation, outside)
    try:
        if not await _is_in_force(store, bundle):
            await found(installation, store, Ed25519Verifier(), bundle, signatures)
    finally:
        await store.close()
    place.pin(bundle)
    place.proposal.unlink()
    sync_folder(place.root)
    return installation


async def _is_in_force(store: Store, bundle: Bundle) -> bool:
    """A run before this one died between the commit and the end."""
    pointer = await store.read(lambda view: view.find(InForce, "bundle"))
    return pointer is not None and pointer.digest == bundle.digest()


def _resumed(home: Home, sources: Sources) -> Bundle:
    bundle = home.proposed()
    if (bundle.configuration, bundle.policies) != (sources.configuration, sources.policies):
        raise ConflictError(
            f"{home.root} holds the proposal of another configuration",
            way_out=f"have {home.proposal} signed, or remove the folder and begin again",
        )
    return bundle


@contextlib.contextmanager
def _appearing(home: Path) -> Iterator[Home]:
    """A folder beside ``home`` that takes its place when the block ends well, else vanishes."""
    _must_be_free(home)
    try:
        home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # as the client makes it
        draft = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))  # 0700
    except OSError as error:
        raise _unwritable(home, error) from error
    try:
        yield Home(draft)
        try:
            sync_folder(draft)
            os.rename(draft, home)  # noqa: PTH104 -- onto an empty folder only; never over a file
            sync_folder(home.parent)
        except OSError as error:
            if home.exists() and any(home.iterdir()):
                raise _occupied(home) from error
            raise _unwritable(home, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _must_be_free(home: Path) -> None:
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise _occupied(home)


def _occupied(home: Path) -> ConflictError:
    if Home(home).is_founded:
        return ConflictError(
            f"{home} holds an installation already",
            way_out=f"start it with `callpoint serve --home {shell_word(home)}`,"
            " or name another folder",
        )
    return ConflictError(
        f"{home} exists and is not empty",
        way_out="name a folder that does not exist yet: --home DIR",
    )


def _unwritable(home: Path, error: OSError) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"{home} cannot be made: {error.strerror}", way_out="check the owner of the folder above"
    )
