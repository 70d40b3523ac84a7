"""``docs/configuration.md`` says of every key what the reader does, and of no other."""

import re
from pathlib import Path

import pytest

from callpoint.config import listeners
from callpoint.config.connectors import CONNECTORS, ENDPOINT
from callpoint.config.keys import INNER, SECTIONS
from callpoint.config.listeners import GATEWAYS
from callpoint.config.rules import BREAK_GLASS_LIMIT
from callpoint.config.settings import TABLES
from callpoint.config.shape import Shape, show_default
from callpoint.domain.span import format_span

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def headings() -> dict[str, Shape]:
    """Each documented table by its heading."""
    whole = ("governance", "witnessing")
    named = {k: v for k, v in SECTIONS.items() if k not in whole}
    return {
        **{f"[{name}]": SECTIONS[name] for name in whole},
        **{f"[{name}.NAME]": shape for name, shape in named.items()},
        **{f"[{name}]": shape for name, shape in INNER.items()},
        **{f"{c}: settings": shape.settings for c, shape in CONNECTORS.items() if shape.settings},
        **{f"{c}: each role": shape.role for c, shape in CONNECTORS.items() if shape.role},
        "postgresql: each endpoint": ENDPOINT,
        **{f"server.toml [{name}]": shape for name, shape in TABLES.items()},
        f"server.toml [{GATEWAYS}.postgresql]": listeners.POSTGRESQL,
        **{f"gateway: [{name}]": shape for name, shape in listeners.TABLES.items()},
    }


def rows(shape: Shape) -> list[str]:
    """A table of the document."""
    return [
        "| key | what may stand there | default | meaning |",
        "|---|---|---|---|",
        *(
            f"| `{key.name}` | {key.kind.says} | {_default(show_default(key))} | {key.meaning} |"
            for key in shape
        ),
    ]


def _default(shown: str) -> str:
    return shown if shown in {"required", "none"} else f"`{shown}`"


@pytest.mark.parametrize("heading", headings())
def test_each_table_is_the_readers(heading: str):
    """Key, limits, default and meaning are word for word those of the reader's tables."""
    found = re.search(
        rf"^#+ `{re.escape(heading)}`\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/configuration.md has no heading `{heading}`"
    told = [line for line in found[1].splitlines() if line.startswith("|")]
    assert told == rows(headings()[heading])


def test_no_other_table_is_documented():
    """A heading of a table that the reader no longer has is found."""
    told = set(re.findall(r"^#+ `([^`]*)`$", TEXT, re.MULTILINE))
    assert told == set(headings())


def test_the_limit_between_keys_is_told():
    """The break-glass limit, which depends on the lane, stands in the document."""
    assert f"at most `{format_span(BREAK_GLASS_LIMIT)}`" in TEXT
