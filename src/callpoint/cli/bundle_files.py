"""Configurations that were in force, as an export keeps them: ``bundles/00000001.json``.

Each file is the bundle's canonical JSON and nothing else, so that the SHA-256 of its bytes is the
``digest`` that the log states in ``bundle:published``.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from callpoint.audit.entry import EntryError, parse_entry
from callpoint.domain import canonical
from callpoint.domain import event as ev
from callpoint.domain.errors import ConfigError, NotFoundError, TamperError
from callpoint.domain.governance import Bundle
from callpoint.domain.untrusted_json import read_json

if TYPE_CHECKING:  # HTTP and all messages take a tenth of a second, which `--help` need not pay
    from callpoint.cli.client import Client

BUNDLES = "bundles"
"""The folder of an export that holds them."""

PUBLISHED = "bundle:published"
_WAY_OUT = "it is not the one that was signed: keep it, and find out who changed it"


def kind_of(leaf: bytes) -> str:
    """The type of an entry, without reading all of it; of what is no entry, anything.

    In canonical form ``type`` and ``version`` come last, and neither can hold a quotation mark.
    """
    _, _, rest = leaf.rpartition(b',"type":"')
    return rest.partition(b'"')[0].decode("ascii", "replace")


def publication(leaf: bytes) -> ev.BundlePublished | None:
    """The publication that an entry is; None for another entry, and for what cannot be read."""
    if kind_of(leaf) != PUBLISHED:
        return None
    try:
        entry = parse_entry(leaf)
        event = ev.parse(entry.type, entry.data)
    except (EntryError, ValueError):
        return None  # the verification of the log says what is wrong with it
    return event if isinstance(event, ev.BundlePublished) else None


def file_name(number: int) -> str:
    """Of a configuration, in the order of their numbers."""
    return f"{number:08d}.json"


def encoded(bundle: Bundle, event: ev.BundlePublished) -> bytes:
    """The file's bytes.

    Raises:
        TamperError: It is another one than was published.
    """
    content = canonical.encode(bundle)
    if hashlib.sha256(content).hexdigest() != event.digest:
        raise TamperError(
            f"configuration {event.number} is not the one that the log names", way_out=_WAY_OUT
        )
    return content


def fetched(client: "Client", event: ev.BundlePublished) -> Bundle:
    """From the server; what it gives is not compared yet."""
    return client.published(event.number).bundle


def stored(export: Path, event: ev.BundlePublished) -> Bundle:
    """From the folder of an export.

    Raises:
        NotFoundError: The export was made without it.
        TamperError: The file is another one than was published.
        ConfigError: It cannot be read.
    """
    path = export / BUNDLES / file_name(event.number)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"the export holds no {BUNDLES}/{path.name}") from error
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error
    if hashlib.sha256(content).hexdigest() != event.digest:
        raise TamperError(f"{path} is not the one that the log names", way_out=_WAY_OUT)
    try:
        return read_json(content, Bundle)
    except msgspec.DecodeError as error:
        raise NotFoundError(f"this version cannot read {BUNDLES}/{path.name}: {error}") from error
