"""The readable page of an evidence bundle: what it says, and that an edited one is found."""

import base64
import hashlib
import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpoint.audit.entry import canonical_json, encode_entry, parse_entry
from callpoint.audit.verify import Code, Report, verify_bundle, verify_document
from callpoint.audit.verify.story.document import (
    DocumentError,
    Form,
    document,
    open_document,
)
from callpoint.audit.verify.story.telling import _TOLD
from callpoint.audit.verify.story.words import MAX_TEXT, clean, duration, moment, plain, seconds
from callpoint.domain.event import AnyEvent
from callpoint.evidence.bundle import _GOVERNING
from tests.fakes.keys import MemoryLogSigner
from tests.fakes.world import ORIGIN

GOLDEN = Path(__file__).parents[1] / "conformance" / "story"
BUNDLE = (GOLDEN / "bundle.json").read_bytes()
VKEY = MemoryLogSigner(ORIGIN).verifier_key
PAGES = [Form.HTML, Form.MARKDOWN]
HOSTILE = (
    "</pre></bdi><script>alert(1)</script><img src=x onerror=alert(1)> ![x](http://evil.example)"
    " [y](javascript:alert(1)) `code` **bold** www.evil.example \u202etxt.exe\u2066 \u0000\x1b[2J"
    "\n# heading\n```callpoint-bundle\nAAAA\n``` \u05d0\u05d1 {{7*7}}"
)
INVISIBLE = re.compile("[\u0000-\u0008\u000b-\u001f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "code", "dl"),
    *("dt", "dd", "q", "bdi", "ol", "li", "div", "details", "summary", "pre"),
}


def golden(form: Form) -> bytes:
    return (GOLDEN / f"page.{form}").read_bytes()


def check(data: bytes, **how: Any) -> Report:
    return verify_document(data, VKEY, **how)


def codes(report: Report) -> list[Code]:
    return [finding.code for finding in report.findings]


def told(change: Any) -> bytes:
    """The bundle with something else in it; its proofs do not hold then."""
    bundle = json.loads(BUNDLE)
    change(bundle)
    return canonical_json(bundle)


def with_data(bundle: dict[str, Any], kind: str, **data: object) -> None:
    """Put other words into the entries of a type."""
    for item in bundle["entries"]:
        entry = parse_entry(base64.b64decode(item["leaf"]))
        if entry.type == kind:
            entry.data.update(data)
            item["leaf"] = base64.b64encode(encode_entry(entry)).decode()


@pytest.mark.parametrize("form", PAGES)
def test_the_words_of_a_version_never_change(form: Form):
    """A kept page can be compared for ever: other words need another version."""
    assert document(BUNDLE, form) == golden(form)


@pytest.mark.parametrize("form", PAGES)
def test_a_page_verifies_like_its_bundle(form: Form):
    """The machine part is the bundle byte for byte, and the report says what was compared."""
    assert open_document(golden(form)).bundle == BUNDLE
    alone, report = verify_bundle(BUNDLE, VKEY), check(golden(form), expect_closed=True)
    assert (report.findings, report.size) == ((), alone.size)
    assert "the page says what the machine part says" in report.notes[-1]
    crlf = golden(form).replace(b"\n", b"\r\n")  # mail and checkouts do that
    assert check(crlf).ok


@pytest.mark.parametrize("form", PAGES)
def test_a_page_tells_the_whole_life_in_order(form: Form):
    """Who asked why, who signed over what, what was issued, its end, its proof, the verdict."""
    text = re.sub(r"<[^>]+>|\\", "", golden(form).decode())
    order = (
        "frank declared the incident inc-7",
        "gina confirmed the incident",
        "alice asked for orders-db:repair",
        "the primary is down and only a manual repair brings it back",
        "carol signed: approve",
        "dave signed: approve",
        "The quorum is met: carol, dave",
        "A credential exists on orders-db",
        "at most 30 s",
        "alice fetched the credential",
        "Access ends: returned",
        "does not die yet: disable",
        "2 min later",
        "is dead",
        "absent, refused",
        "28P01",
        "erin took a first look",
        "erin reviewed it: justified",
        "grow the disk",
    )
    story = text.split("Step by step")[1]
    places = [story.index(words) for words in order]
    assert places == sorted(places)
    for figure in ("1 min 30 s", "9 min", "2 min", "3 h 2 min"):
        assert figure in text.split("Step by step")[0]


@pytest.mark.parametrize("form", PAGES)
@pytest.mark.parametrize(
    "old, new",
    [
        (b"carol", b"mallory"),
        (b"justified", b"justified "),
        (b"every credential of it is proven dead", b"nothing is left"),
        (b"callpoint verify bundle FILE", b"callpoint verify bundle --log-key EVIL FILE"),
        (b"entry 14", b"entry 15"),
    ],
)
def test_an_edited_page_is_found(form: Form, old: bytes, new: bytes):
    """One word is enough, and the line is named; the machine part still holds."""
    assert old in golden(form)
    report = check(golden(form).replace(old, new, 1))
    assert codes(report) == [Code.STORY_ALTERED]
    line = golden(form)[: golden(form).index(old)].count(b"\n") + 1
    assert f"at line {line};" in report.findings[0].message
    assert check(golden(form).replace(old, new, 1), data_only=True).ok


@pytest.mark.parametrize("form", PAGES)
def test_what_is_added_to_a_page_is_found(form: Form):
    """Behind its end, before the machine part, or a second machine part."""
    page = golden(form)
    for edited in (
        page + b"<p>and all is well</p>\n",
        page.replace(b"## The machine", b"fine\n\n## The machine", 1).replace(
            b"</ol>", b" </ol>", 1
        ),
    ):
        assert codes(check(edited)) == [Code.STORY_ALTERED]
    part = page[page.index(b"callpoint-bundle") - 9 :]
    assert codes(check(page + part)) == [Code.MALFORMED_BUNDLE]


@pytest.mark.parametrize("form", PAGES)
def test_a_page_of_other_evidence_is_judged_by_that(form: Form):
    """A page that was computed from a tampered bundle says what that says, and does not verify."""
    tampered = told(lambda b: with_data(b, "activation:ended", reason="used"))
    report = check(document(tampered, form))
    assert Code.NOT_INCLUDED in codes(report)
    assert Code.STORY_ALTERED not in codes(report)


@pytest.mark.parametrize("form", PAGES)
def test_a_page_of_another_version_is_not_believed(form: Form):
    """It cannot be compared, which is a failure until the reader asks for the data alone."""
    newer = golden(form).replace(b"callpoint-story/v1", b"callpoint-story/v2")
    assert codes(check(newer)) == [Code.STORY_UNKNOWN]
    alone = check(newer, data_only=True)
    assert alone.ok
    assert "was not compared" in alone.notes[-1]


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html>\n<p>trust me</p>",
        b'<!DOCTYPE html>\n<pre id="callpoint-bundle">\n!!!\n</pre>',
        b'<!DOCTYPE html>callpoint-story/v1<pre id="callpoint-bundle">\ne30=\n</pre>',
        b"# Evidence of activation x\n",
        b"",
        b"\xff\xfe",
    ],
)
def test_what_is_no_page_is_said(data: bytes):
    """Without a machine part, or with one that is none, there is nothing to verify."""
    assert Code.MALFORMED_BUNDLE in codes(check(data))


class Reader(HTMLParser):
    """Keeps tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile() -> bytes:
    """Every place that a stranger can fill, filled."""

    def change(bundle: dict[str, Any]) -> None:
        bundle["activation"] = bundle["installation"] = HOSTILE
        bundle["entries"][0]["personal"]["justification"]["value"] = HOSTILE
        with_data(bundle, "lease:stuck", error=HOSTILE, rung=HOSTILE)
        with_data(bundle, "activation:reviewed", findings=[{"kind": HOSTILE, "text": HOSTILE}])
        bundle["checkpoint"] = HOSTILE

    return told(change)


def test_hostile_words_are_text_in_html():
    """No tag, attribute, script or address of theirs, and nothing that turns the reading order."""
    page = document(hostile(), Form.HTML).decode()
    reader = Reader()
    reader.feed(page)
    assert reader.tags <= TAGS
    assert reader.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "id"}
    assert reader.text.count("<script>alert(1)</script>") >= 6
    assert not re.search(
        "[\u0000-\u0008\u000b-\u001f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", page
    )
    assert page.count("<pre") == 1
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http://evil.example", "")


def test_the_style_is_the_only_one_that_a_browser_takes():
    """The policy names the hash of the style; a style that somebody adds is not applied."""
    page = golden(Form.HTML).decode()
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_words_are_text_in_markdown():
    """No link, image, code, emphasis or heading of theirs, and one machine part."""
    page = document(hostile(), Form.MARKDOWN).decode()
    story = page.split("## The machine part")[0]
    assert "<script" not in story
    bare = re.sub(r"\\.", "", story)
    for markup in ("](", "![", "http://", "www.evil", "**bold**", "\n# heading", " `code`"):
        assert markup not in bare, markup
    assert not INVISIBLE.search(page)
    assert page.count("\n```") == 2
    assert open_document(page.encode()).bundle == hostile()


def test_a_huge_field_is_cut_on_the_page_alone():
    """The page says how much more there is; the machine part has it all."""

    def change(bundle: dict[str, Any]) -> None:
        bundle["entries"][0]["personal"]["justification"]["value"] = "x" * 1_000_000

    page = document(told(change), Form.HTML)
    assert b"[\xe2\x80\xa6 998000 more characters in the machine part]" in page
    assert len(page) < 1_500_000


@pytest.mark.parametrize("form", PAGES)
def test_an_erased_value_is_shown_as_erased(form: Form):
    """The evidence still verifies, and nobody reads a gap as "no reason was given"."""

    def erase(bundle: dict[str, Any]) -> None:
        for item in bundle["entries"] + bundle["related"]:
            item.pop("personal", None)

    page = document(told(erase), form)
    assert page.decode().replace("\\", "").count("[erased, or not shown") == 3
    assert b"only a manual repair" not in page
    assert check(page).ok


def test_what_it_might_do_through_gateways_is_told():
    """A request with an allowance says each limit; without one nothing is said."""

    def limited(bundle: dict[str, Any]) -> None:
        entry = parse_entry(base64.b64decode(bundle["entries"][0]["leaf"]))
        rate = {"actions": 60, "per": "PT60S"}
        asked: Any = entry.data["request"]
        limits = {"rows": 1000, "rate": rate}
        with_data(bundle, "activation:requested", request={**asked, "allowance": limits})

    text = document(told(limited), Form.MARKDOWN).decode()
    assert "rows 1000, 60 actions per 1 min" in text
    assert "through gateways" not in document(BUNDLE, Form.MARKDOWN).decode()


def test_what_is_still_alive_is_said_first():
    """An activation whose credential is not proven dead says so in its first sentence."""

    def cut(bundle: dict[str, Any]) -> None:
        del bundle["entries"][12:]

    text = document(told(cut), Form.MARKDOWN).decode()
    assert "1 of its credentials are not proven dead" in text
    assert "time to revoke" not in text


def test_what_governors_attested_is_not_called_proven():
    """A target that no longer exists proves nothing: the page says on whose word it is closed."""
    words = "attested by gina, hugo"
    lost = told(lambda b: with_data(b, "lease:ended", evidence=words, code="", control="unknown"))
    text = document(lost, Form.MARKDOWN).decode()
    assert "1 of its credentials were closed on governors' word, without proof" in text
    assert "is closed without proof" in text
    assert f"on whose word: {words}" in text
    assert "credentials proven dead: 0" in text
    assert "every credential of it is proven dead" not in text
    assert "time to revoke" not in text


def test_every_event_that_a_bundle_can_hold_has_words():
    """Whoever adds an event that goes into evidence adds its words; others are not in bundles."""
    tags = {str(kind.__struct_config__.tag) for kind in get_args(AnyEvent)}
    of_an_activation = {
        tag
        for tag in tags
        if tag.split(":")[0] in ("activation", "approval", "credential", "finding", "review")
        or tag.split(":")[0] in ("connection", "incident", "lease")
    }
    assert of_an_activation <= _TOLD.keys() <= tags
    assert set(_GOVERNING) <= _TOLD.keys()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    data=_JSON, leaf=st.binary(max_size=40), place=st.integers(0, 14), form=st.sampled_from(PAGES)
)
def test_whatever_is_in_a_bundle_becomes_a_page(data: Any, leaf: bytes, place: int, form: Form):
    """Types, members and bytes that nobody wrote are shown in their place, and open again."""

    def change(bundle: dict[str, Any]) -> None:
        entry = parse_entry(base64.b64decode(bundle["entries"][place]["leaf"]))
        odd = dict.fromkeys(entry.data, data) | {"more": data}
        item = {"type": entry.type, "data": odd, "at": entry.at, "seq": entry.seq, "prev": None}
        whole = {**item, "version": 1, "installation": "x", "stream": "y", "personal": {}}
        try:
            made = canonical_json(whole)
        except ValueError:
            made = leaf
        bundle["entries"][place]["leaf"] = base64.b64encode(made).decode()

    changed = told(change)
    assert open_document(document(changed, form)).bundle == changed


def test_bytes_that_are_no_bundle_become_no_page():
    """Only as they are can they be kept."""
    with pytest.raises(DocumentError):
        document(b"{}", Form.HTML)
    assert document(b"{}", Form.JSON) == b"{}"


def test_values_in_words():
    """Times, spans and odd values, each as one line."""
    assert moment("2026-03-01T03:00:40.000000Z") == "2026-03-01 03:00:40 UTC"
    assert (moment("soon"), duration("P1DT2H"), duration("PT0.5S")) == ("soon", "1 d 2 h", "0.0 s")
    assert (duration("P"), duration("P999999999D"), duration("x")) == ("P", "999999999 d", "x")
    spans = (timedelta(seconds=0.44), timedelta(seconds=-70), timedelta(days=2, hours=3, minutes=4))
    assert [seconds(s) for s in spans] == ["0.4 s", "-1 min 10 s", "2 d 3 h"]
    assert [plain(v) for v in (None, [], {}, True, 3, ["a", "b"], {"a": 1})] == [
        *("", "", "", "yes", "3", "a, b", "a 1")
    ]
    assert clean("a\u202eb\n") == "a\\u202eb\\n"
    assert len(clean("é" * (MAX_TEXT + 5))) < MAX_TEXT + 60
