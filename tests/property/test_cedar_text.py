"""No policy hides from the governors: the cutter sees what Cedar sees, or refuses the text."""

from collections import Counter

import cedarpy
import msgspec
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from callpoint.config.default_policies import default_pack
from callpoint.domain.cedar_text import split_policies


def cedars_view(text: str) -> Counter[tuple[str, str]] | None:
    """Effect and id of each policy as Cedar parses them; None when it refuses."""
    try:
        whole = msgspec.json.decode(cedarpy.policies_to_json_str(text))
    except ValueError:
        return None
    trees = (*whole["staticPolicies"].values(), *whole["templates"].values())
    return Counter(
        (tree["effect"], (tree.get("annotations") or {}).get("id") or "") for tree in trees
    )


def our_view(text: str) -> Counter[tuple[str, str]] | None:
    try:
        return Counter((s.effect, s.id) for s in split_policies(text))
    except ValueError:
        return None


def test_the_default_pack_is_cut_as_cedar_parses_it():
    """Each policy of the pack is seen, with its effect and id."""
    for text in default_pack().values():
        assert our_view(text) == cedars_view(text)


PIECES = (
    "permit (principal, action, resource);",
    "forbid (principal, action, resource)",
    '@id("a")',
    "@flag",
    'when { context.x == "',
    '"',
    "}",
    ";",
    "//",
    "/*",
    "*/",
    "\n",
    "\r",
    "\t",
    "\u2028",
    "\u00a0",
    "\x0b",
    "\x0c",
    "\x00",
    "\\",
    '\\"',
    'unless { context.y like "*;*" };',
    "when { true };",
    "\ufeff",
    "#",
    "§",
)


STATEMENTS = (
    "permit (principal, action, resource);",
    'forbid (principal, action, resource) when { context.x == "//" };',
    '@id("a")\nforbid (principal, action, resource) unless { context.y like "*;*" };',
    "// a comment; permit\n",
    '@id("b") @reason("\\"permit(;")\npermit (principal, action, resource);',
)


@st.composite
def bent_policies(draw: st.DrawFn) -> str:
    """Sound policies with a few marks inserted anywhere."""
    text = "".join(draw(st.lists(st.sampled_from(STATEMENTS), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(PIECES)) + text[at:]
    return text


@given(st.one_of(bent_policies(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
@example("// x\rpermit (principal, action, resource);")
@example("// x\u2028permit (principal, action, resource);")
@example('@id("\\"a") permit (principal, action, resource);')
@settings(max_examples=1000)
def test_what_cedar_sees_is_seen(text: str):
    """Whatever Cedar accepts is cut into the same policies, or refused and so widens."""
    theirs, ours = cedars_view(text), our_view(text)
    event(f"Cedar {'refuses' if theirs is None else 'accepts'}")
    event(f"we {'refuse' if ours is None else 'cut'}")
    if theirs is not None and ours is not None:
        assert ours == theirs
