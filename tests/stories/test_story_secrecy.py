"""An emergency with trouble in it, and what it leaves in the clear: nothing."""

import secrets
from collections.abc import Iterator

import pytest

from tests.servers import FreshDatabase
from tests.stories.secrecy import forms, found, traces
from tests.stories.secrecy import secrets as hidden
from tests.stories.town import Town

STORE_PASSWORD = secrets.token_urlsafe(18)


@pytest.fixture
def own_store(town: Town, store: FreshDatabase) -> Iterator[FreshDatabase]:
    """The store's database belongs to an ordinary role with a password."""
    role = f"store_{store.name}"
    town.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD '{STORE_PASSWORD}';"
        f"ALTER DATABASE {store.name} OWNER TO {role}",
        store.owner_url,
    )
    yield store
    town.execute(
        f"ALTER DATABASE {store.name} OWNER TO CURRENT_USER; DROP OWNED BY {role} CASCADE;"
        f"DROP ROLE {role}",
        store.owner_url,
    )


def test_an_emergency_leaves_no_secret_anywhere(town: Town, own_store: FreshDatabase):
    """Neither credentials, people's keys nor passwords, though every place says what happened."""
    since = own_store.server.log_path.stat().st_size
    role = f"store_{own_store.name}"
    town.more["STORE_DSN"] = own_store.url(role, STORE_PASSWORD)
    town.build("", "--store-env", "STORE_DSN")
    with town.serving():
        town.incident()
        given = town.active()
        with town.session(given) as session:
            session.execute("UPDATE orders SET state = 'paid' WHERE id = 1")
        broker = f"broker_{town.database.name}"
        town.execute(
            f"ALTER ROLE {broker} NOLOGIN;"  # errors are told too
            f" SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{broker}'"
        )
        town("bob", "kill", "activation", given, code=5)
        town.execute(f"ALTER ROLE {broker} LOGIN")
        town.await_no_account()
        assert town.is_dead(given)
        town("erin", "evidence", given, "--out", town.root / "evidence.json")
        assert "verify: ok" in town.verify_log("log")
    log = own_store.server.log_path.read_bytes()[since:]
    store = own_store.owner_url
    assert found(town, log, store, store_password=STORE_PASSWORD) == []
    kept = " ".join(name for name, _ in hidden(town))
    assert "the credential in" in kept
    assert "the one-time key in" in kept
    # A search that could not find anything would find nothing either.
    said = {place: content for place, content in traces(town, log, store) if _tells(given, content)}
    assert {
        "the target's log",
        "the commands' output",
        "serve.log",
        "evidence.json",
        "log/entries.jsonl",
        "callpoint.records",
        "callpoint.entries",
    } <= said.keys()


def _tells(activation: str, content: bytes) -> bool:
    return any(form in content for form in forms(activation.encode()))
