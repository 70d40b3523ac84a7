"""Keys of ``[signals.NAME]``, and what must go together in one."""

import re

from callpoint.config.document import Problems
from callpoint.config.kinds import NAME, SECRET, SHA256, WORD, array, choice, mapping, matching
from callpoint.config.positions import Path
from callpoint.config.shape import Key, Shape, Values
from callpoint.domain.signal_stream import EVERY_KIND, Delivery, SignalKind

PUSH_URL = matching(
    "an address such as https://receiver.example/events; http only for this machine itself",
    re.compile(
        # No user and password in it, and no fragment.
        r"(https://(?=[^/:])|http://(localhost|127\.0\.0\.1|\[::1\])(?=[:/]))[!-\"$-?A-~]{1,200}"
    ),
)
EMAIL = matching(
    "an address such as jane@example.com",
    re.compile(r"[!#-'*+\-/-9=?A-Z^-~.]{1,64}@[A-Za-z0-9.-]{1,190}"),
)

SIGNAL: Shape = (
    Key("delivery", choice(Delivery), "`push`: we post to it (RFC 8935). `poll`: it fetches."),
    Key("audience", WORD, "The receiver's name for itself: `aud` of every token."),
    Key("url", PUSH_URL, "Where tokens are posted to; push only.", default=None),
    Key(
        "authorization",
        SECRET,
        "The `Authorization` field that it wants to see, scheme included; push only.",
        default=None,
        into="authorization_env",
    ),
    Key(
        "receiver",
        NAME,
        "The principal that fetches this stream, and asks how it stands, with signed requests.",
        default=None,
    ),
    Key(
        "token_sha256",
        SHA256,
        "SHA-256 of the bearer token with which the receiver may do the same.",
        default=None,
    ),
    Key(
        "events",
        array(choice(SignalKind)),
        "What it is told.",
        default=EVERY_KIND,
    ),
    Key(
        "users",
        mapping(NAME, EMAIL),
        "Principal to the e-mail address by which the receiver knows it. Who is not listed leaves "
        "under the principal's name alone.",
        default=None,
    ),
)


def check_signal(values: Values, path: Path, problems: Problems) -> bool:
    """Note what does not go with the way of delivery; False when something does not."""
    before = len(problems.found)
    if values["delivery"] is Delivery.PUSH:
        if "url" not in values:
            problems.add(
                (*path, "url"), "is missing", 'say where to post, or write delivery = "poll"'
            )
    else:
        for key, field in (("url", "url"), ("authorization", "authorization_env")):
            if field in values:
                problems.add(
                    (*path, key), "goes with push", 'remove it, or write delivery = "push"'
                )
        if "receiver" not in values and "token_sha256" not in values:
            problems.add(
                (*path, "receiver"),
                "is missing, so nobody could fetch it",
                "name a principal, or write the token_sha256 of a bearer token",
            )
    return len(problems.found) == before
