"""The settings of an SSH target and of its roles."""

import re

from callpoint.config.document import Problems
from callpoint.config.kinds import BAD, SECRET, WORD, Kind, array, choice, integer, matching
from callpoint.config.positions import Path
from callpoint.config.shape import Key, Shape, Values

PERMIT = "permit"
"""A list in the file, one flat text in the signed configuration: roles hold no lists."""

_ACCOUNT = matching(
    "a unix account: a-z, 0-9, _ . -, at most 32", re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
)
_COMMAND = matching(
    "an absolute path and plain arguments: letters, digits, _ . / : = @ , + -",
    re.compile(r"/[A-Za-z0-9_./:=@,+ -]{0,199}"),
)
_HOST_KEY = matching(
    'a public key of the host, "ssh-ed25519 AAAA…"',
    re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp[0-9]{3}|ssh-rsa) [A-Za-z0-9+/]{40,1400}={0,2}"),
)
_NETWORK = matching(
    "a network such as 10.0.0.0/8", re.compile(r"[0-9a-fA-F.:]{2,45}(/[0-9]{1,3})?")
)
_PATH = matching("an absolute path", re.compile(r"/[A-Za-z0-9_./-]{1,199}"))


def _words(options: tuple[str, ...]) -> Kind:
    """A list of words of a closed list, kept as one text with commas."""
    listed = array(choice(options))

    def read(value: object, path: Path, problems: Problems) -> object:
        found = listed.read(value, path, problems)
        return ",".join(found) if isinstance(found, tuple) else BAD

    return Kind(listed.says, read)


SETTINGS: Shape = (
    Key(
        "host", WORD, "Where the broker connects to; the requester as well, if not told otherwise."
    ),
    Key("port", integer(1, 65535), "Where sshd listens.", default=22),
    Key(
        "host_key",
        array(_HOST_KEY),
        "The host's public keys, copied from the host. Nothing is trusted on first use.",
    ),
    Key(
        "ca_key",
        SECRET,
        "The CA's private key that signs certificates: the key itself, or the name of its file.",
        into="ca_key_env",
    ),
    Key(
        "broker_key",
        SECRET,
        "The private key that the broker logs in with, likewise.",
        into="broker_key_env",
    ),
    Key(
        "broker",
        _ACCOUNT,
        "The unix account that the broker logs in to; no role opens it.",
        default="callpoint",
    ),
    Key(
        "broker_sources",
        array(_NETWORK),
        "Networks that the broker connects from: its key is bound to them.",
        default=None,
    ),
    Key(
        "advertise_host",
        WORD,
        "Host that the requester is told to connect to; left out, the broker's.",
        default=None,
    ),
    Key(
        "advertise_port",
        integer(1, 65535),
        "Port that the requester is told; left out, the broker's.",
        default=None,
    ),
    Key(
        "program",
        _PATH,
        "The host side's program on the host (`callpoint target prepare`).",
        default="/usr/local/sbin/callpoint-host",
    ),
)

ROLE: Shape = (
    Key("account", _ACCOUNT, "The unix account that the certificate opens."),
    Key(
        "command",
        _COMMAND,
        "The one command that it may run, with fixed arguments; left out, a shell.",
        default=None,
    ),
    Key(
        PERMIT,
        _words(("pty", "port-forwarding")),
        "What the certificate permits besides; left out, nothing.",
        default=None,
    ),
)


def check(role: Values, settings: Values, path: Path, problems: Problems) -> None:
    """Nothing is wrong together that is right alone; ``target prepare`` and the selftest say more.

    A role that opens the broker's own account is for a trial on a machine with one account.
    """
