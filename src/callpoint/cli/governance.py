"""`callpoint check | keygen | sign`: governance on local files, with no server and no store.

A proposal is a bundle file (JSON, as `callpoint publish` writes it). What is in force may be given
as such a file or as another configuration directory.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from callpoint.cli.exit_codes import reported
from callpoint.cli.machine import Machine, ThisMachine
from callpoint.cli.signature_file import read_rotation
from callpoint.cli.words import whole
from callpoint.domain.counted import plural
from callpoint.domain.errors import ConfigError, ConfigErrors, ConflictError, DeniedError

if TYPE_CHECKING:  # these take a tenth of a second to import, which `--help` need not pay
    from collections.abc import Mapping

    from callpoint.config.files import Sources
    from callpoint.domain.configuration import Configuration
    from callpoint.domain.governance import Bundle, Rotation

MAX_BUNDLE_BYTES = 16 << 20
KEY_FILE = "key.json"
_DUAL = 2

_output = click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Format."
)
_against = click.option(
    "--against",
    metavar="PATH",
    type=click.Path(exists=True, path_type=Path),
    help="What is in force: a bundle file, or another configuration directory.",
)


@click.command()
@click.option(
    "--config",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current directory",
    help="The configuration directory.",
)
@_against
@_output
@reported
def check(directory: Path, against: Path | None, output: str) -> None:
    """Find everything that is wrong with a configuration, or what it would change.

    With --against it tells each line that differs, which of them widen access, and how many
    governors must sign.
    """
    sources = _load(directory)
    if against is None:
        facts: dict[str, object] = {"sound": True, **_counts(sources.configuration)}
        _print(output, facts, [_sound(sources.configuration)])
        return
    old, old_policies = _in_force(against)
    comparison = _compare(old, old_policies, sources.configuration, sources.policies)
    _print(
        output,
        {"sound": True, **comparison},
        [_sound(sources.configuration), *_words(comparison)],
    )


@click.command()
@click.argument("name")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the private half goes; never over a file that exists.",
)
@_output
@click.pass_context
@reported
def keygen(ctx: click.Context, name: str, out: Path | None, output: str) -> None:
    """Make a key for NAME: a person who governs, or a principal.

    The private half goes into FILE (~/.callpoint/key.json when left out), which only you can read.
    The public half is printed as the line for the configuration.
    """
    from callpoint.cli.keyring import save_principal_key, state_directory
    from callpoint.domain.ids import parse_name

    machine: Machine = ctx.find_root().obj or ThisMachine()
    parse_name(name, "principal")
    path = out or state_directory(machine.environment) / KEY_FILE
    if out is None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = save_principal_key(path, name, machine.token(32))
    _print(
        output,
        {"principal": name, "public_key": made.public_key, "file": str(path)},
        [
            f"# private key in {path}: keep it; only you can read it",
            f"# in [principals.{name}]:",
            f'key = "{made.public_key}"',
            "# or, for a governor, in [governance.governors]:",
            f'{_toml_key(name)} = "{made.public_key}"',
        ],
    )


@click.command()
@click.argument("bundle_file", metavar="BUNDLE", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--key",
    metavar="FILE",
    envvar="CALLPOINT_KEY",
    help="Your governor's key file (or CALLPOINT_KEY).  [default: ~/.callpoint/key.json]",
)
@click.option("--as", "person", metavar="PERSON", help="Who signs.  [default: the key's name]")
@_against
@_output
@click.pass_context
@reported
def sign(
    ctx: click.Context,
    bundle_file: Path,
    key: str | None,
    person: str | None,
    against: Path | None,
    output: str,
) -> None:
    """Sign a proposed configuration, or a key rotation, as a governor; prints JSON.

    What you sign is said first, on stderr. With --against it says what the bundle changes, and
    refuses a key that does not govern there. An unsound bundle is not signed.
    """
    import base64

    import msgspec

    from callpoint.cli.invocation import Invocation
    from callpoint.domain.event import SignatureRecord

    file = Path(key).expanduser() if key else None
    mine = Invocation("", file, output, ctx.find_root().obj or ThisMachine()).key
    governor = person or mine.principal
    rotation = read_rotation(bundle_file)
    if rotation is not None:
        _say_rotation(rotation, governor)
        if against is not None:
            _must_govern(_in_force(against)[0], governor, mine.public_key)
        message = rotation.message()
    else:
        message = _look_at_bundle(bundle_file, governor, mine.public_key, against)
    signature = base64.b64encode(mine.key.sign(message)).decode()
    record = SignatureRecord(governor=governor, key=mine.public_key, signature=signature)
    body = msgspec.json.encode(record)
    click.echo(body if output == "json" else msgspec.json.format(body, indent=2))


def _look_at_bundle(file: Path, governor: str, public_key: str, against: Path | None) -> bytes:
    """Say what a bundle is, refuse what would not count, and give what is to be signed."""
    from callpoint.config.soundness import check_bundle

    bundle = read_bundle(file)
    check_bundle(bundle)
    _say_what_is_signed(bundle, governor)
    if against is None and bundle.number == 1:
        # Genesis makes governors of those whom the first bundle names, so it can be asked itself.
        _must_govern(bundle.configuration, governor, public_key)
    if against is not None:
        if not against.is_dir():
            _must_follow(bundle, read_bundle(against))
        old, old_policies = _in_force(against)
        _must_govern(old, governor, public_key)
        comparison = _compare(old, old_policies, bundle.configuration, bundle.policies)
        for line in _words(comparison):
            click.echo(whole(line), err=True)
    return bundle.message()


def read_bundle(path: Path) -> "Bundle":
    """Read a bundle file.

    Raises:
        ConfigError: It is too long, or no bundle.
    """
    import msgspec

    from callpoint.domain.governance import Bundle
    from callpoint.domain.untrusted_json import read_json

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BUNDLE_BYTES + 1)
        if len(content) > MAX_BUNDLE_BYTES:
            raise ConfigError(f"it has more than {MAX_BUNDLE_BYTES} bytes", file=str(path))
        return read_json(content, Bundle)
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"this is no bundle: {error}",
            file=str(path),
            way_out="make one with `callpoint publish`",
        ) from error


def _load(directory: Path) -> "Sources":
    """The directory, sound in its configuration and its policies, or all that is wrong."""
    from callpoint.config.default_policies import default_pack
    from callpoint.config.files import load_directory
    from callpoint.policy import pap

    sources = load_directory(directory, default_pack())
    if problems := pap.check(sources.policies, sources.configuration):
        raise ConfigErrors(tuple(_placed(problem) for problem in problems))
    return sources


def _placed(problem: ConfigError) -> ConfigError:
    """The same problem under the file's path from the configuration directory."""
    return ConfigError(
        problem.message,
        file=f"policies/{problem.file}",
        line=problem.line,
        key=problem.key,
        way_out=problem.way_out,
    )


def _in_force(path: Path) -> "tuple[Configuration, Mapping[str, str]]":
    if path.is_dir():
        sources = _load(path)
        return sources.configuration, sources.policies
    bundle = read_bundle(path)
    return bundle.configuration, bundle.policies


def _compare(
    old: "Configuration",
    old_policies: "Mapping[str, str]",
    new: "Configuration",
    new_policies: "Mapping[str, str]",
) -> dict[str, object]:
    from callpoint.domain.widening import compare, is_widening, required_signatures

    changes = compare(old, new, old_policies, new_policies)
    governors = old.governance.governors
    return {
        "changes": [
            {"key": change.key, "widens": change.widens, "text": change.text} for change in changes
        ],
        "widens": is_widening(changes),
        "signatures": required_signatures(changes, old, old.governance.quorum),
        "governors": sorted(governors),
        "trial": old.governance.quorum < _DUAL or len(governors) < _DUAL,
    }


def _words(comparison: dict[str, object]) -> list[str]:
    changes, governors = comparison["changes"], comparison["governors"]
    if not isinstance(changes, list) or not isinstance(governors, list):
        raise TypeError("a comparison has lists")
    if not changes:
        return ["nothing changes"]
    lines = [
        f"{'WIDENS  ' if change['widens'] else 'tightens'}  {change['key']}: {change['text']}"
        for change in sorted(changes, key=lambda c: not c["widens"])
    ]
    need = comparison["signatures"]
    who = f"{plural(int(str(need)), 'governor')} must sign, of: {', '.join(governors)}"
    lines.append(who if comparison["widens"] else f"{who} (nothing widens access)")
    if comparison["trial"]:
        lines.append("TRIAL: one governor alone rules; name two or more before you depend on it")
    return lines


def _must_follow(bundle: "Bundle", old: "Bundle") -> None:
    """A signature over a bundle that follows another one would be refused by the server."""
    if (bundle.installation, bundle.number, bundle.previous) != (
        old.installation,
        old.number + 1,
        old.digest(),
    ):
        raise ConflictError(
            f"bundle {bundle.number} does not follow bundle {old.number}",
            way_out="fetch what is in force (`callpoint publish show --out FILE`); if it still "
            "does not follow, have it proposed again",
        )


def _must_govern(old: "Configuration", governor: str, public_key: str) -> None:
    governors = old.governance.governors
    if governors.get(governor) != public_key:
        known = (
            f"{governor} governs with another key" if governor in governors else "not a governor"
        )
        raise DeniedError(
            f"this signature would not count: {known}",
            way_out=f"sign with the key in force of one of: {', '.join(sorted(governors))}",
        )


def _say_rotation(rotation: "Rotation", governor: str) -> None:
    for line in (
        f"a new {rotation.use} key for installation {rotation.installation}, signed as {governor}",
        f"in use {rotation.old}",
        f"next   {rotation.new}",
    ):
        click.echo(whole(line), err=True)


def _say_what_is_signed(bundle: "Bundle", governor: str) -> None:
    for line in (
        f"bundle {bundle.number} of installation {bundle.installation}, signed as {governor}",
        f"digest {bundle.digest()}",
        f"after  {bundle.previous or '(nothing: it is the first)'}",
    ):
        click.echo(whole(line), err=True)


def _counts(configuration: "Configuration") -> dict[str, object]:
    return {
        name: len(getattr(configuration, name))
        for name in ("eligibilities", "targets", "principals", "persons")
    }


def _sound(configuration: "Configuration") -> str:
    c = configuration
    counts = (
        plural(len(c.eligibilities), "eligibility", "eligibilities"),
        plural(len(c.targets), "target"),
        plural(len(c.principals), "principal"),
        plural(len(c.persons), "person"),
    )
    return f"the configuration is sound: {', '.join(counts)}"


def _toml_key(name: str) -> str:
    return f'"{name}"' if "." in name else name


def _print(output: str, facts: dict[str, object], lines: list[str]) -> None:
    if output == "json":
        click.echo(json.dumps(facts))
        return
    for line in lines:
        click.echo(whole(line))
