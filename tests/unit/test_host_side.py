"""The host side's parts that need no sshd: what is admitted, revoked, and taken for what."""

import ast
import json
import os
import time
from pathlib import Path

import pytest

from callpoint.host import admission, connections, registry, revocations
from callpoint.host.processes import Process
from callpoint.host.registry import DISABLED, GONE, Entry, Marks
from callpoint.host.settings import SettingsError, load
from callpoint.host.wire import WireError, serial_of

HOST = Path(registry.__file__).parent
NOW = 1_900_000_000


def entry(handle="abc123x1", **changes):
    made = Entry(handle, "deploy", serial_of(handle), NOW + 600, NOW)
    return made._replace(**changes)


def process(**changes):
    made = Process(
        pid=7, parent=1, start=1, uid=os.geteuid(), session=7, name="sshd", title="", auth=""
    )
    return made._replace(**changes)


def test_it_is_python_3_9_and_needs_nothing():
    """A host runs it with its own Python: the grammar of 3.9, and the standard library."""
    for path in sorted(HOST.glob("*.py")):
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        future = [
            n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"
        ]
        used = any(isinstance(n, ast.BinOp) and isinstance(n.op, ast.BitOr) for n in ast.walk(tree))
        assert future or not used, f"{path.name}: `X | Y` in an annotation needs the future import"
        assert not any(isinstance(n, ast.Match | ast.TryStar) for n in ast.walk(tree)), path.name


def test_only_the_living_are_admitted():
    """The file of an account names who is enabled, within its time and of that account."""
    entries = [
        entry("abc123a"),
        entry("abc123b", state=DISABLED),
        entry("abc123c", state=GONE),
        entry("abc123d", not_after=NOW),
        entry("abc123e", account="app"),
    ]
    text = admission.principals(entries, "deploy", NOW)
    stamp = time.strftime("%Y%m%d%H%M%S", time.localtime(NOW + 600))
    assert text == f'expiry-time="{stamp}" cp-abc123a\n'


def test_the_ended_are_revoked_by_serial_and_by_id():
    """Living ones are not in the list; removed ones stay in it."""
    said = revocations.specification([entry("abc123b", state=GONE), entry("abc123a")])
    assert said == f"serial: {serial_of('abc123b')}\nid: cp-abc123b\n"


def test_the_registry_survives_and_moves_on(tmp_path):
    """Saved and read back it is the same; a state never goes back; a handle is used once."""
    held = registry.load(tmp_path)
    held.enrol(entry(), NOW, 3600)
    held.mark("abc123x1", Marks(files=("/run/sshauth.x",)), "boot-1")
    held.save()
    held = registry.load(tmp_path)
    held.move("abc123x1", GONE)
    held.move("abc123x1", DISABLED)
    held.save()
    held = registry.load(tmp_path)
    found = held.find("abc123x1")
    assert found is not None
    assert (found.state, found.marks.files) == (GONE, ("/run/sshauth.x",))
    assert held.there() == ()
    with pytest.raises(WireError, match="already"):
        held.enrol(entry(), NOW, 3600)


def test_marks_of_another_boot_mean_nothing(tmp_path):
    """Audit sessions begin anew with each boot: the old numbers are somebody else's."""
    held = registry.load(tmp_path)
    held.enrol(entry(), NOW, 3600)
    held.mark("abc123x1", Marks(audits=("5",)), "boot-1")
    held.mark("abc123x1", Marks(audits=("2",)), "boot-2")
    found = held.find("abc123x1")
    assert found is not None
    assert found.marks.audits == ("2",)


def test_the_revoked_are_forgotten_a_day_after_their_end(tmp_path):
    """Not at their end: a clock that is set back would let them in again."""
    held = registry.load(tmp_path)
    held.enrol(entry(), NOW, 3600)
    held.enrol(entry("abc123live"), NOW, 3600)
    held.move("abc123x1", GONE)
    held.compact(NOW + 600 + 3600)
    assert held.find("abc123x1") is not None
    held.compact(NOW + 600 + registry.KEPT_AFTER_END + 1)
    assert held.find("abc123x1") is None
    assert held.find("abc123live") is not None


@pytest.mark.parametrize(
    "text", ["", "[]", '{"revision": 1}', '{"revision":1,"entries":[{}]}', "{"]
)
def test_a_broken_registry_admits_nobody(tmp_path, text):
    """It is put aside for its owner to look at."""
    (tmp_path / "registry.json").write_text(text)
    held = registry.load(tmp_path)
    assert held.all() == ()
    assert (tmp_path / "registry.broken").read_text() == text


@pytest.mark.parametrize(
    "name, title, account",
    [
        ("sshd", "sshd: deploy [priv]", ""),
        ("sshd", "sshd: deploy@pts/0", "deploy"),
        ("sshd", "sshd: deploy@notty", "deploy"),
        ("sshd-session", "sshd-session: deploy [priv]", ""),
        ("sshd-session", "sshd-session: deploy@notty", "deploy"),
        ("sshd", "sshd: deploy", "deploy"),
        ("sshd", "sshd: unknown [net]", ""),
        ("sshd-auth", "sshd-auth: [accepted]", ""),
        ("sshd", "sshd: [accepted]", ""),
        ("sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", ""),
        ("bash", "sshd: deploy@pts/0", ""),
    ],
)
def test_sshds_processes_are_known_by_both_names(name, title, account):
    """Before and from OpenSSH 9.8, which split the server into several programs."""
    assert process(name=name, title=title).logged_in == account


def test_a_listener_is_ours_or_none():
    """Somebody else's process of that title is no listener, so it is not spared."""
    title = "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"
    assert process(title=title).is_listener
    assert not process(title=title, uid=os.geteuid() + 1).is_listener


def test_logins_are_read_from_the_log(tmp_path):
    """By client address and port; a key without a certificate is somebody else's."""
    log = tmp_path / "log"
    log.write_text(
        "Accepted publickey for deploy from 192.0.2.1 port 4000 ssh2: ED25519-CERT SHA256:a+/b ID "
        "cp-abc123x1 (serial 5) CA ED25519 SHA256:c\n"
        "Nov 24 08:00:00 web sshd[7]: Accepted publickey for app from 2001:db8::1 port 4001 ssh2: "
        "ED25519 SHA256:d\n"
        "Failed publickey for app from 192.0.2.1 port 4002 ssh2: ED25519-CERT SHA256:a ID "
        "cp-abc123x1 (serial 5) CA ED25519 SHA256:c\n"
    )
    settings = settings_in(tmp_path, log=str(log))
    assert connections.logins(settings, 0) == {
        ("192.0.2.1", 4000): {"cp-abc123x1"},
        ("2001:db8::1", 4001): {""},
    }
    assert connections.logins(settings_in(tmp_path, log="/nowhere"), 0) is None


def settings_in(folder, **changes):
    path = folder / "host.json"
    given = {
        "installation": "abc123",
        "accounts": ["deploy"],
        "longest": 3600,
        "state": str(folder),
        "ca": str(folder / "ca.pub"),
    }
    path.write_text(json.dumps(given | changes))
    path.chmod(0o644)
    return load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"installation": "x"},
        {"accounts": []},
        {"accounts": ["a b"]},
        {"accounts": ["../root"]},
        {"longest": 0},
        {"longest": 10**9},
        {"state": "relative"},
        {"ports": [0]},
        {"colour": "red"},
    ],
)
def test_wrong_settings_are_refused(tmp_path, changes):
    """A host that is set up wrongly answers nothing, rather than something."""
    with pytest.raises(SettingsError):
        settings_in(tmp_path, **changes)


def test_settings_that_others_may_write_are_refused(tmp_path):
    """Whoever could write them could open another account."""
    settings_in(tmp_path)
    (tmp_path / "host.json").chmod(0o666)
    with pytest.raises(SettingsError, match="write"):
        load(tmp_path / "host.json")


@pytest.mark.parametrize("blob", ["", "AAAA", "####", "AAAAIHNzaC1lZDI1NTE5LWNlcnQ"])
def test_what_is_no_certificate_has_no_key_id(blob):
    """A file that an actor wrote breaks nothing."""
    assert connections.key_id(blob) is None
