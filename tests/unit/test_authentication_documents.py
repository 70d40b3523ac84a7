"""The pages about authentication and incidents say what the code does."""

import base64
import re
import tomllib
from pathlib import Path

from callpoint.cli.signing import sign_request
from callpoint.config.keys import SOURCE
from callpoint.domain.principal import Principal
from tests.fakes.clock import START
from tests.fakes.signing import ANA, KEY, NONCE, ORIGIN, Door

DOCS = Path(__file__).resolve().parents[2] / "docs"


def block(page: str, language: str) -> str:
    """The only fenced block of a language on a page."""
    text = (DOCS / page).read_text()
    (found,) = re.findall(rf"^ *```{language}\n(.*?)\n *```$", text, re.DOTALL | re.MULTILINE)
    return str(found)


async def test_the_example_request_is_what_our_client_sends():
    """The page's request is, byte for byte, what sign_request makes, and it is accepted."""
    head, body = block("authentication.md", "http").split("\n\n")
    lines = head.splitlines()
    signed = sign_request(
        "POST",
        f"{ORIGIN}/v1/activations",
        body.encode(),
        principal="ana-laptop",
        key=KEY,
        now=START,
        nonce=NONCE,
    )
    assert lines[0] == "POST /v1/activations HTTP/1.1"
    assert lines[1] == f"host: {ORIGIN.removeprefix('https://')}"
    assert lines[2:] == [f"{name}: {value}" for name, value in signed.items()]
    caller = await Door().knock(signed, url=f"{ORIGIN}/v1/activations", body=body.encode())
    assert isinstance(caller.principal, Principal)
    assert caller.principal == ANA


def test_the_example_base_is_what_was_signed():
    """The page's signature base has the page's signature."""
    base = block("authentication.md", "text")
    signature = re.search(r"^signature: (.*)$", block("authentication.md", "http"), re.MULTILINE)
    assert signature is not None
    raw = base64.b64decode(signature[1].removeprefix("sig1=:").removesuffix(":"), validate=True)
    KEY.public_key().verify(raw, base.encode())  # raises when it is another


def test_the_example_source_has_the_configurations_keys():
    """Every key of the page's source is one that the configuration knows, and none is left out."""
    source = tomllib.loads(block("operations/incidents.md", "toml"))["sources"]["alertmanager"]
    assert list(source) == [key.name for key in SOURCE]
