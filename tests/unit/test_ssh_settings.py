"""An SSH target's settings, its owner's script, and comparing two snapshots: all pure."""

import re
import subprocess

import asyncssh
import pytest

from callpoint.adapters.clock.system import SystemRandom
from callpoint.adapters.targets.ssh import keys, owner_script, persistence, selftest
from callpoint.adapters.targets.ssh.inventory import accounts_of
from callpoint.adapters.targets.ssh.settings import SshRole, SshSettings
from callpoint.domain.errors import ConfigError
from callpoint.ports.inventory import UNKNOWN
from callpoint.ports.targets import Persistence

CA, BROKER = (keys.new_private(SystemRandom().token(keys.SEED_SIZE)) for _ in range(2))
HOST_KEY = keys.public_line(asyncssh.import_private_key(CA))


def settings(**changes):
    given = {
        "name": "web-1",
        "installation": "abc123",
        "host": "web-1.internal",
        "host_keys": (HOST_KEY,),
        "ca_key": CA,
        "broker_key": BROKER,
        "roles": {"repair": SshRole("deploy"), "restart": SshRole("app", "/bin/restart --now")},
        "broker_sources": ("10.1.0.0/16",),
    }
    return SshSettings(**(given | changes))


@pytest.mark.parametrize(
    "key, changes",
    [
        ("host", {"host": "web 1"}),
        ("host", {"host": "-oProxyCommand=x"}),
        ("host_key", {"host_keys": ()}),
        ("host_key", {"host_keys": ("ssh-ed25519 AAAA",)}),
        ("ca_key", {"ca_key": "secret words"}),
        ("broker_key", {"broker_key": ""}),
        ("broker", {"broker": "Root"}),
        ("broker_sources", {"broker_sources": ("everywhere",)}),
        ("program", {"program": "callpoint-host; id"}),
        ("roles", {"roles": {}}),
        ("roles.a.account", {"roles": {"a": SshRole("a,b")}}),
        ("roles.a.command", {"roles": {"a": SshRole("deploy", "/bin/sh -c 'id'")}}),
        ("roles.a.command", {"roles": {"a": SshRole("deploy", "/bin/true; id")}}),
        ("roles.a.permit", {"roles": {"a": SshRole("deploy", permit=("everything",))}}),
    ],
)
def test_what_could_bend_a_line_is_refused(key, changes):
    """Nothing that ends up in sshd's configuration or a command has room for more."""
    with pytest.raises(ConfigError) as error:
        settings(**changes)
    assert error.value.key == f"targets.web-1.{key}"
    assert "secret words" not in str(error.value)


def test_no_secret_is_shown():
    """Neither the settings nor the owner's script has a private key in it."""
    shown = repr(settings()) + owner_script.render(settings())
    assert "PRIVATE" not in shown
    for line in (CA + BROKER).splitlines():
        assert line.startswith("-----") or line not in shown


def test_the_script_is_complete_and_the_shell_reads_it(tmp_path):
    """Every file of the host side is in it, nothing is left to fill in, and its syntax holds."""
    script = owner_script.render(settings())
    assert not re.search(r"\{\{[a-z_]+\}\}", script)
    for name in owner_script.sources():
        assert f"/callpoint/host/{name} 0644 <<" in script
    for words in (
        "Match User app,deploy\n    TrustedUserCAKeys /etc/callpoint/abc123/ca.pub",
        'restrict,command="sudo -n /usr/local/sbin/callpoint-host serve',
        'from="10.1.0.0/16"',
        "ForceCommand sudo -n /usr/local/sbin/callpoint-host serve",
        "OnUnitActiveSec=15",
        "PerSourcePenaltyExemptList 10.1.0.0/16",
    ):
        assert words in script
    file = tmp_path / "prepare.sh"
    file.write_text(script)
    subprocess.run(["sh", "-n", file], check=True)
    assert owner_script.render(settings()) == script


def test_a_brokers_account_that_a_role_opens_is_refused():
    """Whoever is let in there could end what the broker began."""
    with pytest.raises(ConfigError, match="opened by a role"):
        owner_script.render(settings(broker="deploy"))


def test_two_snapshots_are_compared():
    """New, changed and gone show once each; processes that ended are no finding."""
    before = {
        "login file": ["/home/d/.profile sha256:aa", "/home/d/.bashrc sha256:bb"],
        "process": ["d: sleep pid 7"],
    }
    now = {"login file": ["/home/d/.profile sha256:cc"], "timer": ["/var/spool/x sha256:dd"]}
    assert persistence.difference(now, before) == (
        Persistence("login file", "/home/d/.profile sha256:cc"),
        Persistence("login file", "/home/d/.bashrc sha256:bb", "is gone"),
        Persistence("timer", "/var/spool/x sha256:dd"),
    )
    assert persistence.difference(now, None) == ()
    many = {"setuid file": [f"/opt/{n}" for n in range(500)]}
    assert len(persistence.difference(many, {})) == 101


def test_words_of_the_host_are_made_fit_to_be_shown():
    """An actor chooses names of files and processes; a terminal does not obey them."""
    assert persistence.read({"process": ["a\x1b[2Jb"]}) == {"process": ["a\\x1b[2Jb"]}
    assert persistence.read("nonsense") == {"not examined": ["the host side told no snapshot"]}


@pytest.mark.parametrize(
    "runs, silence, bound",
    [(0, None, None), (2, 15.0, None), (3, 15.0, 25), (200, 901.0, None), (200, 900.0, 910)],
)
def test_the_residual_is_what_heartbeats_prove(runs, silence, bound):
    """Three runs within the hour and no long silence, or nothing is promised."""
    found = selftest.residual({"runs": runs, "longest_silence": silence}).bound
    assert (found and found.total_seconds()) == bound


def test_an_account_without_a_login_at_a_terminal_is_not_told_as_never_used():
    """The host's lastlog knows terminals only: its empty entry is unknown, and so no fault."""
    (empty, used) = accounts_of(
        [{"name": "a", "last_login": 0}, {"name": "b", "last_login": 9}], ()
    )
    assert empty.last_used == UNKNOWN
    assert used.last_used.known
