"""Where a database is, remembered in it: a copy that is opened elsewhere is told from the original.

It is no secret and no proof. It stops the honest mistake: a copy of production that is started for
a test must neither give nor take away what is production's
(``docs/adr/0009-epochs-and-places.md``).
"""

import hashlib
from pathlib import Path

from callpoint.adapters.stores.sql.connection import Connection
from callpoint.domain.errors import HeldError

_MACHINE_ID = Path("/etc/machine-id")


def machine() -> str:
    """A name for this machine that says nothing else; empty where it has none (some containers)."""
    try:
        text = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    # Not as it is: machine-id(5) wants it kept to the machine.
    return hashlib.sha256(b"callpoint/place/v1\n" + text.encode()).hexdigest()[:16] if text else ""


def must_be_here(connection: Connection, here: str) -> None:
    """Remember where the database is, the first time; later see that it is still there.

    Raises:
        HeldError: It is elsewhere.
    """
    ((known,),) = connection.rows("SELECT place FROM head")
    if known == "":
        settle(connection, here)
    elif known != here:
        raise HeldError(
            "this database is a copy, or was moved: nothing is given and nothing taken away from"
            f" here (it was at {known}, and is at {here})",
            way_out="if no other server of this installation runs and none will,"
            " `callpoint installation adopt`; a copy for tests needs an installation of its own:"
            " `callpoint init`",
        )


def settle(connection: Connection, here: str) -> None:
    """It is at home where it is now."""
    connection.run("UPDATE head SET place = ?", (here,))
