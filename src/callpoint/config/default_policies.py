"""The policies that come with Callpoint, read from the package: `callpoint init` copies them."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable


def default_pack() -> dict[str, str]:
    """File name to Cedar text, as it stands in a bundle."""
    return dict(_texts(_folder(), ".cedar"))


def default_tests() -> dict[str, str]:
    """File name to TOML text of the pack's own tests; their place is ``policies/tests``."""
    return dict(_texts(_folder() / "tests", ".toml"))


def default_invariants() -> dict[str, str]:
    """File name to Cedar text of what must never be allowed; see ``policy.prove``."""
    return dict(_texts(_folder() / "invariants", ".cedar"))


def _folder() -> Traversable:
    return files("callpoint.policy") / "default"


def _texts(folder: Traversable, ending: str) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(ending):
            yield file.name, file.read_text(encoding="utf-8")
