"""The owner's script, run as an owner runs it: as root, on the real paths, before a real sshd.

It happens in a mount namespace of its own, where everything written lands in memory; where the
machine allows none, or the tests do not run as root, it is skipped.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callpoint.adapters.targets.ssh import owner_script
from callpoint.adapters.targets.ssh.settings import SshRole, SshSettings
from callpoint.cli.loopback import free_port
from tests.servers import need_sshd
from tests.ssh_keys import make_key
from tests.sshd_site import connector_for, new_key, open_account

# What the script writes to is covered; the rest of the machine is as it is.
_INSIDE = """\
set -eu
mount -t tmpfs tmpfs /mnt
for folder in etc usr/local var/lib; do
    mkdir -p /mnt/upper/$folder /mnt/work/$folder
    mount -t overlay overlay /$folder \\
        -o lowerdir=/$folder,upperdir=/mnt/upper/$folder,workdir=/mnt/work/$folder
done
mkdir -p /run/sshd
install -m 600 {folder}/host_key /etc/ssh/ssh_host_ed25519_key
sh {folder}/prepare.sh
sh {folder}/prepare.sh
sed -i 's#"journal"#"{folder}/log"#' /etc/callpoint/abc123/host.json
for run in 1 2 3; do callpoint-host reap --config /etc/callpoint/abc123/host.json; done
exec {sshd} -D -p {port} -h /etc/ssh/ssh_host_ed25519_key -E {folder}/log
"""


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[SshSettings]:
    """A host on which the owner ran the script, twice."""
    server = need_sshd()
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can prepare a host")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespace")
    port = free_port()
    host_key = make_key(server, tmp_path / "host_key")
    settings = SshSettings(
        name="web-1",
        installation="abc123",
        host="127.0.0.1",
        port=port,
        host_keys=(host_key.public,),
        ca_key=new_key(),
        broker_key=new_key(),
        broker="root",
        broker_sources=("127.0.0.0/8",),
        roles={"repair": SshRole(open_account(), permit=("pty",))},
    )
    (tmp_path / "prepare.sh").write_text(owner_script.render(settings))
    inside = _INSIDE.format(folder=tmp_path, port=port, sshd=server.sshd)
    with (tmp_path / "said").open("wb") as said:
        host = subprocess.Popen(["unshare", "-m", "sh", "-c", inside], stdout=said, stderr=said)
    try:
        _wait_for(port, host, tmp_path)
        yield settings
    finally:
        host.send_signal(signal.SIGTERM)
        host.wait(10)


def _wait_for(port: int, host: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while host.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail((folder / "said").read_text()[-2000:])


async def test_a_prepared_host_passes_the_selftest(prepared):
    """With sshd's strict modes, the real paths and the script alone, every check passes."""
    if open_account() == "root":
        pytest.skip("there is no account but root's, which is the broker's here")
    report = await connector_for(prepared).selftest()
    assert [(c.name, c.detail) for c in report.checks if not c.ok] == []
    assert report.residual.bound is not None
