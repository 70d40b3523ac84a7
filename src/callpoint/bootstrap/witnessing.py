"""This installation as a witness: its key and memory in the home folder.

The two are made together and belong together (``adapters.witnesses.memory_file``). They live on one
node only: with the same key on a second node, each would have a memory of its own.
"""

from pathlib import Path

from callpoint.adapters.keys.files.witness import (
    FileCosigner,
    keep_cosigner,
    new_cosigner,
    witness_key_path,
)
from callpoint.adapters.witnesses.memory_file import MemoryFile
from callpoint.bootstrap.home import Home
from callpoint.domain.errors import ConflictError
from callpoint.lifecycle.cosign import WitnessDesk
from callpoint.lifecycle.services import Services

MEMORY = "witness.json"


def witness_desk(home: Path, services: Services) -> WitnessDesk | None:
    """The witness, where there is a key for it.

    Raises:
        ConfigError: The key cannot be used.
    """
    keys = Home(home).keys
    if not witness_key_path(keys).exists():
        return None
    key = FileCosigner(keys)
    return WitnessDesk(services, key, MemoryFile(home / MEMORY, key.public))


def make_witness_key(home: Path, name: str) -> str:
    """Make key and memory, or find those that there are; returns the public key.

    Args:
        home: The installation's folder.
        name: The witness's name; empty for ``callpoint/<installation>/witness``.

    Raises:
        ConfigError: There is no installation, or no key can have that name.
        ConflictError: A memory is there whose key is gone.
        StoreUnavailableError, UnavailableError: They cannot be written.
    """
    place = Home(home)
    installation = place.installation()
    if witness_key_path(place.keys).exists():
        return FileCosigner(place.keys).public
    memory = home / MEMORY
    if memory.exists():
        raise ConflictError(
            f"{memory} is there, and the key that it belongs to is not",
            way_out=f"restore {witness_key_path(place.keys)}; for a new witness remove {memory}",
        )
    key = new_cosigner(name or f"callpoint/{installation.id}/witness")
    public = key.public.format()
    # The key last: a key without its memory signs nothing, so a death in between leaves a file
    # that the next run names.
    MemoryFile.begin(memory, public)
    keep_cosigner(place.keys, key)
    return public
