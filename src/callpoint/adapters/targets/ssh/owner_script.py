"""What the host's owner reads and installs: ``callpoint target prepare NAME`` prints it.

One shell script that writes readable files: the host side (``callpoint.host``, as it is here), its
``host.json``, lines for sshd, the broker's key with its forced command, and the reaper's timer. It
names no secret: of both keys only the public half is in it. Rendering is pure.
"""

import json
from importlib.resources import files
from ipaddress import ip_network
from pathlib import PurePosixPath

import asyncssh
import msgspec

from callpoint.adapters.targets.ssh.keys import public_line
from callpoint.adapters.targets.ssh.settings import LONGEST, SshSettings
from callpoint.domain.errors import ConfigError

REAPER_SECONDS = 15

_PACKAGE = "callpoint.host"


class Place(msgspec.Struct, frozen=True):
    """Where things are on the host.

    Attributes:
        etc: What the owner decides: ``host.json``, the CA's and the broker's public keys.
        state: What the host side alone writes to.
        library: Where the host side's files are.
        program: What sshd and the timer run.
        python: The interpreter, 3.9 or newer.
        log: ``journal``, or sshd's file.
        port: Where sshd listens on the host, which may be another than the broker connects to.
        sshd_config: sshd's configuration, when it is not its default.
    """

    etc: PurePosixPath
    state: PurePosixPath
    library: PurePosixPath
    program: PurePosixPath
    python: str = "/usr/bin/python3"
    log: str = "journal"
    port: int = 22
    sshd: str = "/usr/sbin/sshd"
    sshd_config: str = ""

    @property
    def config(self) -> PurePosixPath:
        return self.etc / "host.json"

    @property
    def ca(self) -> PurePosixPath:
        return self.etc / "ca.pub"

    @property
    def broker_keys(self) -> PurePosixPath:
        return self.etc / "broker_keys"


def usual(settings: SshSettings) -> Place:
    """Where a Linux distribution has such things; one folder for each installation."""
    return Place(
        etc=PurePosixPath("/etc/callpoint") / settings.installation,
        state=PurePosixPath("/var/lib/callpoint") / settings.installation,
        library=PurePosixPath("/usr/local/lib/callpoint-host"),
        program=PurePosixPath(settings.program),
        port=settings.port,
    )


def host_json(settings: SshSettings, place: Place) -> str:
    """``host.json``."""
    given: dict[str, object] = {
        "installation": settings.installation,
        "accounts": settings.accounts,
        "longest": int(LONGEST.total_seconds()),
        "state": str(place.state),
        "ca": str(place.ca),
        "ports": (place.port,),
        "log": place.log,
        "sshd": place.sshd,
        "sshd_config": place.sshd_config,
        "revoked": str(place.etc / "revoked"),
    }
    return json.dumps(given, indent=2) + "\n"


def ca_line(settings: SshSettings) -> str:
    """The CA's public key."""
    return f"{_public(settings.ca_key)} callpoint-{settings.installation}\n"


def broker_line(settings: SshSettings, place: Place) -> str:
    """The broker's line for ``authorized_keys``: one command, and nothing else."""
    options = ["restrict", f'command="{serve_command(settings, place)}"']
    if settings.broker_sources:
        options.append(f'from="{",".join(settings.broker_sources)}"')
    return f"{','.join(options)} {_public(settings.broker_key)} callpoint-broker\n"


def serve_command(settings: SshSettings, place: Place) -> str:
    """What the broker's login runs; through sudo unless it is root's."""
    words = f"{place.program} serve --config {place.config}"
    return words if settings.broker == "root" else f"sudo -n {words}"


def sshd_lines(settings: SshSettings, place: Place) -> str:
    """The part of sshd_config that concerns the accounts that certificates open.

    In a Match block, so that a broken revocation list, or the CA's key in wrong hands, concerns
    these accounts only: the broker and the administrators still come in.
    """
    return f"""\
Match User {",".join(settings.accounts)}
    TrustedUserCAKeys {place.ca}
    RevokedKeys {place.state}/revoked.krl
    AuthorizedPrincipalsFile {place.state}/principals/%u
    AuthorizedPrincipalsCommand none
    ExposeAuthInfo yes
    PermitUserRC no
    PermitTunnel no
    GatewayPorts no
    X11Forwarding no
"""


def launcher(place: Place) -> str:
    """The program: a shell line, so that nothing of the caller's environment steers Python."""
    start = (
        f'import sys; sys.path.insert(0, "{place.library}"); '
        "from callpoint.host.command import main; sys.exit(main(sys.argv[1:]))"
    )
    return f"#!/bin/sh\nexec {place.python} -I -S -B -c '{start}' \"$@\"\n"


def sources() -> dict[str, str]:
    """The host side's files by name, as they are in this program."""
    folder = files(_PACKAGE)
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".py"))
    return {name: folder.joinpath(name).read_text(encoding="utf-8") for name in names}


def render(settings: SshSettings) -> str:
    """The whole script.

    Raises:
        ConfigError: The broker's account is one that certificates open.
    """
    if settings.broker in settings.accounts:
        raise ConfigError(
            f"the broker's account {settings.broker} is opened by a role",
            key=f"targets.{settings.name}.broker",
            way_out="give the broker an account of its own",
        )
    place = usual(settings)
    parts = [
        _template("heading.sh"),
        *(_file(place.library / "callpoint/host" / name, text) for name, text in sources().items()),
        _file(place.program, launcher(place), "0755"),
        _file(place.config, host_json(settings, place)),
        _file(place.ca, ca_line(settings)),
        _file(place.broker_keys, broker_line(settings, place)),
        _template("sudo.sh" if settings.broker != "root" else "root.sh"),
        _file(PurePosixPath(_DROP_IN.format(settings.installation)), _drop_in(settings, place)),
        _template("footing.sh"),
    ]
    return _filled("\n".join(parts), settings, place)


_DROP_IN = "/etc/ssh/sshd_config.d/10-callpoint-{}.conf"


def _drop_in(settings: SshSettings, place: Place) -> str:
    return f"""\
# Callpoint, installation {settings.installation}, target {settings.name}.
{sshd_lines(settings, place)}
Match User {settings.broker}
{_broker_lines(settings, place)}
Match all
"""


def _broker_lines(settings: SshSettings, place: Place) -> str:
    if settings.broker == "root":
        # Administrators log in as root as well: the key's own options hold the broker.
        usual = ".ssh/authorized_keys .ssh/authorized_keys2"
        return f"    AuthorizedKeysFile {usual} {place.broker_keys}\n"
    return f"""\
    AuthorizedKeysFile {place.broker_keys}
    AuthenticationMethods publickey
    TrustedUserCAKeys none
    ForceCommand {serve_command(settings, place)}
    DisableForwarding yes
    PermitTTY no
    PermitUserRC no
"""


def _filled(template: str, settings: SshSettings, place: Place) -> str:
    # Every value has been held to a narrow form by the settings.
    values = {
        "name": settings.name,
        "installation": settings.installation,
        "accounts": " ".join(settings.accounts),
        "broker": settings.broker,
        "serve": f"{place.program} serve --config {place.config}",
        "program": str(place.program),
        "config": str(place.config),
        "etc": str(place.etc),
        "state": str(place.state),
        "library": str(place.library),
        "python": place.python,
        "sshd": place.sshd,
        "drop_in": _DROP_IN.format(settings.installation),
        "seconds": str(REAPER_SECONDS),
        "exempt": ",".join(str(ip_network(network)) for network in settings.broker_sources),
    }
    for key, value in values.items():
        template = template.replace("{{" + key + "}}", value)
    return template


def _file(path: PurePosixPath, text: str, mode: str = "0644") -> str:
    """A here-document that the shell takes as it is; no line of ours is the delimiter."""
    return f"put {path} {mode} <<'CALLPOINT_FILE_END'\n{text.rstrip()}\nCALLPOINT_FILE_END\n"


def _public(private: str) -> str:
    return public_line(asyncssh.import_private_key(private))


def _template(name: str) -> str:
    return files(__package__).joinpath("owner", name).read_text(encoding="utf-8")
