"""What a client may set with its first message: what SET may set, and it is decided likewise."""

import re

from callpoint.domain.errors import RequestError

PINNED = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}
"""With other values texts would mean something else to the server than here."""

_UTF8 = ("utf8", "utf-8", "unicode", '"utf8"', "'utf-8'")
_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)=((?:\\.|[^\s\\])*)(?:\s+|\Z)")


def wanted_settings(parameters: dict[str, str]) -> dict[str, str]:
    """Settings by name, without those that are the gateway's own.

    Args:
        parameters: Of the startup message.

    Raises:
        RequestError: It asks for replication, another encoding, or options that cannot be read.
    """
    found: dict[str, str] = {}
    for name, value in parameters.items():
        match name.lower():
            case "user" | "database":
                pass
            case "replication":
                if value.lower() not in ("false", "off", "no", "0"):
                    raise RequestError("replication does not pass a gateway")
            case "options":
                found.update(_options(value))
            case lower:
                found[lower] = value
    encoding = found.pop("client_encoding", "utf8")
    if encoding.lower() not in _UTF8:
        raise RequestError(
            f"the client's encoding is {encoding}, and only UTF8 passes",
            way_out="set PGCLIENTENCODING=UTF8",
        )
    return found


def set_statement(name: str, value: str) -> str:
    """The SQL that sets the same."""
    parts = ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))
    return f"SET {parts} TO '" + value.replace("'", "''") + "'"


def _options(text: str) -> dict[str, str]:
    """Of ``options``: ``-c name=value`` and ``--name=value``; a backslash escapes a space."""
    found: dict[str, str] = {}
    rest = text.strip()
    while rest:
        match = _OPTION.match(rest)
        if match is None:
            raise RequestError("the startup options cannot be read", way_out="write -c name=value")
        found[match[1].lower().replace("-", "_")] = re.sub(r"\\(.)", r"\1", match[2])
        rest = rest[match.end() :]
    return found
