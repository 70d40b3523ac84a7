"""Kinds of value that name logs and witnesses: addresses, origins, keys in C2SP's form."""

import base64
import re
from collections.abc import Callable

from callpoint.audit.cosignature import WitnessKey
from callpoint.audit.note import MalformedNoteError, Verifier
from callpoint.config.document import Problems
from callpoint.config.kinds import BAD, Kind, matching, type_name
from callpoint.config.positions import Path
from callpoint.domain.public_key import weakness

URL = matching(
    "an address such as https://witness.example/callpoint, without a slash at its end",
    re.compile(r"https?://[!-\"$->@-~]{1,200}(?<!/)"),
)
LOG_NAME = matching(
    "a log's origin, such as callpoint/4f2c1a: 1 to 200 visible characters, no plus",
    re.compile(r"[!-*,-~]{1,200}"),
)


def _key(what: str, way_out: str, parse: Callable[[str], WitnessKey | Verifier]) -> Kind:
    def read(value: object, path: Path, problems: Problems) -> object:
        if not isinstance(value, str):
            problems.add(path, f"is {type_name(value)}", f"write {what}")
            return BAD
        try:
            key = parse(value)
        except MalformedNoteError as error:
            problems.add(path, f"is not {what}: {error}", way_out)
            return BAD
        if why := weakness(base64.b64encode(key.key).decode()):
            problems.add(path, f"is no key that binds its owner: {why}", way_out)
            return BAD
        return value

    return Kind(what, read)


WITNESS_KEY = _key(
    "a witness's key, NAME+HEX+BASE64 of type 0x04",
    "ask whoever runs the witness; Callpoint prints it with `callpoint key witness`",
    WitnessKey.parse,
)
LOG_KEY = _key(
    "a log's verifier key, NAME+HEX+BASE64 of type 0x01",
    "copy log_key from the other installation's installation.json",
    Verifier.parse,
)
