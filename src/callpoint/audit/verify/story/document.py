"""One file with both parts: writing it, and taking the machine part out of it again."""

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum

from callpoint.audit.verify.bundle import MAX_BUNDLE_SIZE, parse_bundle
from callpoint.audit.verify.story import markdown, page
from callpoint.audit.verify.story.tale import VERSION
from callpoint.audit.verify.story.write import tell

MAX_DOCUMENT_SIZE = 3 * MAX_BUNDLE_SIZE
"""Largest file, in bytes: base64 is a third longer, and the readable part is mostly shorter."""

_WIDTH = 100


class Form(StrEnum):
    """How a bundle is written down."""

    JSON = "json"
    HTML = "html"
    MARKDOWN = "md"


class DocumentError(ValueError):
    """It is no file of these forms."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file, taken apart.

    Attributes:
        bundle: The machine part, byte for byte.
        states_version: It says that it was written in this program's words.
    """

    form: Form
    bundle: bytes
    states_version: bool


def document(bundle: bytes, form: Form) -> bytes:
    """The file of a bundle; the same bundle always gives the same bytes.

    Raises:
        DocumentError: The bytes are no bundle.
    """
    if form is Form.JSON:
        return bundle
    try:
        tale = tell(parse_bundle(bundle))
    except ValueError as error:
        raise DocumentError(f"this is no evidence bundle: {error}") from error
    encoded = base64.b64encode(bundle).decode()
    part = "\n".join(encoded[i : i + _WIDTH] for i in range(0, len(encoded), _WIDTH))
    write = page.page if form is Form.HTML else markdown.markdown
    return write(tale, part).encode()


def open_document(data: bytes) -> Document:
    """Take a file apart; what begins like neither page is a bundle as it is.

    Raises:
        DocumentError: It begins like a page and holds no machine part, or several.
    """
    for form, module in ((Form.HTML, page), (Form.MARKDOWN, markdown)):
        if data.startswith(module.HEAD):
            _, opens, rest = data.partition(module.OPENS)
            part, closes, after = rest.partition(module.CLOSES)
            if not opens or not closes or module.OPENS in after:
                raise DocumentError("the file has no machine part, or more than one")
            return Document(form, _decoded(part), VERSION.encode() in data)
    return Document(Form.JSON, data, states_version=True)


def _decoded(part: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(part.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DocumentError(f"the machine part is not base64: {error}") from error
