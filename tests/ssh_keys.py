"""Keys and user certificates made by OpenSSH's own `ssh-keygen`: what a connector would hand out.

The reference for tests of the client's side; the connector makes its own, without a program.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from callpoint.cli.sshd_server import SshServer


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key file and its public line."""

    file: Path

    @property
    def private(self) -> str:
        return self.file.read_text()

    @property
    def public(self) -> str:
        return self.file.with_suffix(".pub").read_text().strip()


@dataclass(frozen=True, slots=True)
class Authority:
    """A user CA in a folder of a test."""

    server: SshServer
    folder: Path
    key: KeyPair

    @property
    def public_file(self) -> Path:
        """What TrustedUserCAKeys names."""
        return self.key.file.with_suffix(".pub")

    def certify(self, who: KeyPair, principal: str, *options: str, serial: int = 1) -> str:
        """The one-line certificate for ten minutes, every permission off; ``options`` as for -O."""
        subprocess.run(
            [
                *(self.server.keygen, "-q", "-s", self.key.file, "-I", f"cp_{serial}"),
                *("-z", str(serial), "-n", principal, "-V", "-1m:+10m", "-O", "clear"),
                *(word for option in options for word in ("-O", option)),
                who.file.with_suffix(".pub"),
            ],
            check=True,
        )
        return who.file.with_name(f"{who.file.name}-cert.pub").read_text().strip()


def make_key(server: SshServer, file: Path) -> KeyPair:
    """A new Ed25519 key."""
    words = ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]
    subprocess.run([server.keygen, *words, file], check=True)
    return KeyPair(file)


def make_authority(server: SshServer, folder: Path) -> Authority:
    """A new CA."""
    return Authority(server, folder, make_key(server, folder / "ca"))
