"""One mistake in ``examples/orders``, and what must be said about it."""

from dataclasses import dataclass

from tests.fakes import orders

_FLOOD = 3


@dataclass(frozen=True)
class Mistake:
    """An edit of the example; ``at`` is a piece of the line that the error must name."""

    name: str
    old: str
    new: str
    at: str
    key: str
    says: str
    way_out: str

    def __str__(self) -> str:
        return self.name


def assert_told(mistake: Mistake) -> None:
    """Told once with file, line, key and way out, without a flood of consequences."""
    text = orders.changed((mistake.old, mistake.new))
    errors = orders.errors_of(text)
    found = [e for e in errors if e.key == mistake.key and mistake.says in e.message]
    assert len(found) == 1, [str(e) for e in errors]
    assert found[0].file == orders.FILE
    assert found[0].line == orders.line_of(text, mistake.at)
    assert mistake.way_out in found[0].way_out
    assert len(errors) <= _FLOOD, [str(e) for e in errors]


def with_person(name: str, toml: str) -> str:
    """The text with one more person, who has no principal."""
    return toml.replace("[groups]", f'{name} = {{ name = "Extra" }}\n\n[groups]', 1)


def keys_and_words(toml: str) -> str:
    """``key: message`` of each error, by lines."""
    return "\n".join(f"{e.key}: {e.message}" for e in orders.errors_of(toml))
