"""Settings of one server process: where it keeps things, listens, and how often it looks.

They are not governed: nothing here gives anybody access. They stand in ``server.toml`` in the home
directory, which may be absent; every default is here. Who may open what is in ``callpoint.toml``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from callpoint.config.document import MAX_BYTES, Document, Problems, parse_document
from callpoint.config.kinds import (
    ADDRESS,
    BOOLEAN,
    PATH,
    SECRET,
    WORD,
    array,
    choice,
    integer,
    span,
)
from callpoint.config.listeners import GATEWAYS, PostgresListener, read_gateways
from callpoint.config.shape import Key, Shape, Values, read_table, refuse_unknown
from callpoint.domain.address import is_loopback
from callpoint.domain.errors import ConfigError, RequestError

HOME_VARIABLE = "CALLPOINT_HOME"
FILE = "server.toml"
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


class StoreKind(StrEnum):
    """Where state and log live."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


STORE: Shape = (
    Key(
        "kind",
        choice(StoreKind),
        "sqlite: a file in the home directory. postgresql: several replicas can share it.",
        default=StoreKind.SQLITE,
    ),
    Key("dsn", SECRET, "How to reach PostgreSQL; only with that kind.", default=None),
    Key(
        "checkpoint",
        PATH,
        "File that keeps the last checkpoint outside the database, best on another disk; "
        "left out, `checkpoint` in the home directory.",
        default=None,
    ),
)
LISTEN: Shape = (
    Key("host", WORD, "Address to listen on.", default="127.0.0.1"),
    Key("port", integer(1, 65535), "TCP port.", default=8750),
    Key(
        "behind_proxy",
        BOOLEAN,
        "A proxy in front ends TLS. Without it only loopback addresses can be listened on.",
        default=False,
    ),
    Key(
        "public",
        array(ADDRESS, most=8),
        "Addresses under which clients know this server: what they sign begins with one of them. "
        "The first one is the issuer of tokens. "
        "Left out, those of the loopback address that is listened on.",
        default=None,
    ),
)
NOTIFY: Shape = (
    Key(
        "webhook",
        SECRET,
        "Address that notices are posted to as JSON, beside the log; it may hold a token.",
        default=None,
        into="notify_env",
    ),
)
WORKERS: Shape = (
    Key(
        "sweep",
        span(SECOND, MINUTE),
        "How often time is looked at: lapsed requests, expired activations, due revocations.",
        default=SECOND,
    ),
    Key(
        "reconcile",
        span(10 * SECOND, HOUR),
        "How often each target's accounts are compared with the leases, both ways.",
        default=MINUTE,
    ),
    Key(
        "claim",
        span(10 * SECOND, 10 * MINUTE),
        "How long a worker may hold a revocation before another one takes it over.",
        default=MINUTE,
    ),
    Key(
        "stop",
        span(SECOND, 5 * MINUTE),
        "How long a stopping server finishes what it began.",
        default=10 * SECOND,
    ),
)
TIMESTAMPS: Shape = (
    Key(
        "url",
        ADDRESS,
        "Time-stamping authority (RFC 3161) that the log's checkpoints are shown to; left out, "
        "none is asked.",
        default=None,
    ),
    Key(
        "certificates",
        PATH,
        "PEM file with the authority's root, and intermediate certificates that it does not send.",
        default=None,
    ),
    Key(
        "every",
        span(MINUTE, 24 * HOUR),
        "How often a checkpoint is stamped, when the log has grown.",
        default=HOUR,
    ),
)
TABLES: dict[str, Shape] = {
    "store": STORE,
    "listen": LISTEN,
    "notify": NOTIFY,
    "workers": WORKERS,
    "timestamps": TIMESTAMPS,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """One server process.

    Attributes:
        home: Directory for keys, the embedded store, the last checkpoint and ``server.toml``.
        store: Which kind of store.
        store_dsn_env: Environment variable with the DSN; empty for SQLite.
        host: Address to listen on.
        port: TCP port.
        behind_proxy: A proxy ends TLS.
        sweep_for: Pause between two looks at the clock.
        reconcile_for: Pause between two comparisons with a target.
        claim_for: How long a claim on a revocation holds.
        stop_for: Grace when stopping.
        public: Addresses under which clients know it; empty for the loopback address.
        checkpoint: Where the last checkpoint is kept; empty for the home directory.
        notify_env: Environment variable with the address for notices; empty for none.
        stamp_url: Time-stamping authority; empty for none.
        stamp_certificates: Its certificates, PEM.
        stamp_for: How often a checkpoint is stamped.
        gateway: For PostgreSQL, in this process; None for none.
    """

    home: Path
    store: StoreKind
    store_dsn_env: str
    host: str
    port: int
    behind_proxy: bool
    sweep_for: timedelta
    reconcile_for: timedelta
    claim_for: timedelta
    stop_for: timedelta
    public: tuple[str, ...] = ()
    checkpoint: str = ""
    notify_env: str = ""
    stamp_url: str = ""
    stamp_certificates: str = ""
    stamp_for: timedelta = HOUR
    gateway: PostgresListener | None = None

    @property
    def checkpoint_file(self) -> Path:
        """The last checkpoint, outside the database."""
        return Path(self.checkpoint) if self.checkpoint else self.home / "checkpoint"

    @property
    def sqlite_path(self) -> Path:
        """The embedded store's file."""
        return self.home / "callpoint.sqlite3"


def home_directory(option: str | None, environment: Mapping[str, str]) -> Path:
    """The home directory: the option, ``CALLPOINT_HOME``, or ``.callpoint/server`` below ``HOME``.

    Not ``.callpoint`` itself: that is the client's (``cli.keyring``), and both have ``keys/``.

    Raises:
        RequestError: Nothing says where it is.
    """
    named = option or environment.get(HOME_VARIABLE)
    if named:
        return Path(named)
    if user := environment.get("HOME"):
        return Path(user) / ".callpoint" / "server"
    raise RequestError(
        "no home directory is known", way_out=f"set {HOME_VARIABLE}, or name it with --home DIR"
    )


def load_settings(home: Path) -> Settings:
    """Read ``server.toml`` of a home directory; without the file every default holds.

    Raises:
        ConfigErrors: All that is wrong in the file.
    """
    file = home / FILE
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raw = b""
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", file=str(file), way_out="check owner and mode"
        ) from error
    return read_settings(home, parse_document(raw, str(file)))


def read_settings(home: Path, document: Document) -> Settings:
    """The settings in a document.

    Raises:
        ConfigErrors: All that is wrong in it.
    """
    problems = Problems((document,))
    top = tuple(Key(name, BOOLEAN, "") for name in (*TABLES, GATEWAYS))
    refuse_unknown(top, document.data, (), problems)
    found = {
        name: read_table(shape, document.data.get(name, {}), (name,), problems)
        for name, shape in TABLES.items()
    }
    store, listen, workers = found["store"], found["listen"], found["workers"]
    notify, stamps = found["notify"], found["timestamps"]
    if store is not None:
        _check_store(store, problems)
    if listen is not None:
        _check_listen(listen, problems)
    if stamps is not None:
        _check_stamps(stamps, problems)
    gateway = read_gateways(document.data, problems)
    problems.raise_all()
    if store is None or listen is None or notify is None or workers is None or stamps is None:
        raise AssertionError("a table that cannot be read is a problem")
    return Settings(
        home=home,
        store=store["kind"],
        store_dsn_env=store.get("dsn", ""),
        checkpoint=store.get("checkpoint", ""),
        **listen,
        **notify,
        **{f"{name}_for": value for name, value in workers.items()},
        stamp_url=stamps.get("url", ""),
        stamp_certificates=stamps.get("certificates", ""),
        stamp_for=stamps["every"],
        gateway=gateway,
    )


def _check_stamps(stamps: Values, problems: Problems) -> None:
    """An authority whose certificates nobody named could be anybody."""
    if ("url" in stamps) != ("certificates" in stamps):
        lacking = "certificates" if "url" in stamps else "url"
        problems.add(
            ("timestamps", lacking),
            "is missing: an authority is named by its address and its certificates",
            'write certificates = "/etc/callpoint/tsa.pem", the root that it is trusted by'
            if lacking == "certificates"
            else 'write url = "http://tsa.example/tsr", or remove certificates',
        )


def _check_store(store: Values, problems: Problems) -> None:
    needs = store["kind"] is StoreKind.POSTGRESQL
    if needs and "dsn" not in store:
        problems.add(("store", "dsn"), "is missing", 'write dsn = { env = "NAME" }')
    if not needs and "dsn" in store:
        problems.add(
            ("store", "dsn"), "goes with postgresql", 'write kind = "postgresql", or remove it'
        )


def _check_listen(listen: Values, problems: Problems) -> None:
    """Answers carry who opens what: not for a network to read."""
    if listen["behind_proxy"] and "public" not in listen:
        problems.add(
            ("listen", "public"),
            "is missing, and behind a proxy it cannot be guessed",
            'write public = ["https://callpoint.example"], as clients call it',
        )
    if not listen["behind_proxy"] and not is_loopback(listen["host"]):
        problems.add(
            ("listen", "host"),
            "is not a loopback address, and Callpoint itself speaks no TLS",
            "listen on 127.0.0.1, or end TLS in a proxy and write behind_proxy = true",
        )
