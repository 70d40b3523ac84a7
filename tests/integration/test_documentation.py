"""What the pages say can be typed, their links lead somewhere, and operations can be followed."""

import base64
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callpoint.cli.program import program
from callpoint.cli.throwaway import ThrowawayPostgres
from tests.servers import fresh_database
from tests.stories.town import SOURCE, Town

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/**/*.md"))
)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(callpoint [^`]+)`")
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
ENDS_A_COMMAND = {">", "<", "|", "&&", ";", "2>", ">>"}
LEFT_OUT = {"…", "..."}


def blocks(text: str, *kinds: str) -> Iterator[str]:
    """The fenced blocks of these languages."""
    for indent, kind, body in FENCE.findall(text):
        if kind in kinds:
            yield "\n".join(line.removeprefix(indent) for line in body.splitlines())


def lines_of(block: str) -> Iterator[str]:
    """Command lines, continued ones joined, without prompts and outputs."""
    for line in block.replace("\\\n", " ").splitlines():
        yield line.removeprefix("$ ").strip()


def typed(page: Path) -> list[tuple[str, bool]]:
    """Every ``callpoint`` command line of a page; those in blocks are whole."""
    text = (ROOT / page).read_text(encoding="utf-8")
    whole = [
        (line, True)
        for block in blocks(text, "sh", "console", "")
        for line in lines_of(block)
        if line.startswith("callpoint ") and " listens on " not in line
    ]
    between = INLINE.findall(FENCE.sub("", text))
    return whole + [(" ".join(line.split()), False) for line in between if "VERB" not in line]


COMMANDS = sorted({(str(page), *command) for page in PAGES for command in typed(page)})


def words_of(line: str) -> list[str]:
    """The words of the command itself: no comment, no redirection, no second command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    for word in lexer:
        if word in ENDS_A_COMMAND:
            break
        words.append(word)
    return [word for word in words[1:] if word not in LEFT_OUT]


def parse(words: list[str], *, whole: bool = False) -> None:
    """Verb, options and choices exist; nothing is run, and no file need be there.

    Args:
        words: After ``callpoint``.
        whole: What is required must be there as well.

    Raises:
        click.UsageError: They do not.
    """
    command: click.Command = program
    ctx = click.Context(program, info_name="callpoint")
    while isinstance(command, click.Group):
        opts, rest, _ = command.make_parser(ctx).parse_args(list(words))
        _must_choose(command, opts, ctx)
        if not rest:
            return
        verbs = rest[0].split("|")  # `check|sign` names several
        found = [command.get_command(ctx, verb) for verb in verbs]
        if None in found or not found:
            raise click.UsageError(f"there is no verb {rest[0]!r}")
        command, words = found[0], rest[1:]  # type: ignore[assignment]  # None was refused
        ctx = click.Context(command, ctx, info_name=rest[0])
    opts, rest, _ = command.make_parser(ctx).parse_args(list(words))
    if rest:
        raise click.UsageError(f"{rest} is too much")
    _must_choose(command, opts, ctx)
    required = [p for p in command.params if p.required]
    lacking = [p.name for p in required if p.name not in opts or p.value_is_missing(opts[p.name])]
    if whole and lacking and "--help" not in words:
        raise click.UsageError(f"{lacking} is missing")


def _must_choose(command: click.Command, opts: dict[str, object], ctx: click.Context) -> None:
    for param in command.params:
        given = opts.get(param.name or "")
        if isinstance(param.type, click.Choice) and isinstance(given, str) and "|" not in given:
            param.type.convert(given, param, ctx)


@pytest.mark.parametrize("page, line, whole", COMMANDS, ids=[f"{c[0]}: {c[1]}" for c in COMMANDS])
def test_every_command_can_be_typed(page: str, line: str, whole: bool):
    """Each verb and each option that a page shows exists; what a block shows lacks none."""
    parse(words_of(line), whole=whole and "..." not in line and "…" not in line)


@pytest.mark.parametrize(
    "line",
    [
        "callpoint frobnicate",
        "callpoint kill nothing-like-it x",
        "callpoint log rewind",
        "callpoint request e --incident x --becuase y",
        "callpoint key rotate door",
        "callpoint log recover --as gina",
        "callpoint sign",
        "callpoint withdraw",
    ],
)
def test_what_cannot_be_typed_is_noticed(line: str):
    """The check above can fail."""
    with pytest.raises(click.UsageError):
        parse(words_of(line), whole=True)


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path):
    """Files and headings that a page points to exist."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in LINK.findall(FENCE.sub("", text)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, part = link.partition("#")
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), f"{page} points to {link}"
        if part:
            headings = HEADING.findall(FENCE.sub("", there.read_text(encoding="utf-8")))
            assert part in {anchor(heading) for heading in headings}, f"{page} points to {link}"


def test_the_two_commands_are_targets():
    """Make knows both commands of the read-me."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    wanted = re.findall(r"^make (\w+)", text, re.MULTILINE)
    assert set(wanted) >= {"demo", "test"}
    for target in wanted:
        done = subprocess.run(
            ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


class Machine:
    """A server's machine: pages' paths are the town's, and ``systemctl`` is for its process."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.desk = town.root
        self.server = ExitStack()
        self.gateway = ExitStack()
        shim = town.root / "bin" / "callpoint"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m callpoint "$@"\n')
        shim.chmod(0o755)

    def type(self, line: str) -> None:
        """One line of a page."""
        if line in {"systemctl stop callpoint-gateway", "systemctl start callpoint-gateway"}:
            self.gateway.close()
            if "start" in line:
                self.gateway.enter_context(_gateway(self.town, self.desk))
            return
        if line in {"systemctl stop callpoint", "systemctl start callpoint"}:
            self.server.close()
            if "start" in line:
                self.server.enter_context(self.town.serving())
            return
        path = f"{self.town.root / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", self._here(line)],
            cwd=self.desk,
            env={
                **self.town.environment("gina"),
                "CALLPOINT_HOME": str(self.town.home),
                "PATH": path,
                "PYTHONPATH": str(SOURCE),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"

    def _here(self, line: str) -> str:
        here = {
            "/var/lib/callpoint": self.town.home,
            "/srv/backup": self.town.root / "backup",
            "etc/callpoint": self.town.config,
        }
        for there, path in here.items():
            line = line.replace(there, str(path))
        return line


@contextmanager
def _machine(server: ThrowawayPostgres, root: Path) -> Iterator[Machine]:
    """A running server with something open on it."""
    with fresh_database(server) as database:
        town = Town(root, database)
        made = Machine(town)
        try:
            town.build()
            made.type("systemctl start callpoint")
            yield made
        finally:
            made.gateway.close()
            made.server.close()
            if town.installation.exists():
                town.remove_roles()


@pytest.fixture
def machine(postgres_15: ThrowawayPostgres, tmp_path: Path) -> Iterator[Machine]:
    """One for a page that begins with a loss."""
    with _machine(postgres_15, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def day(
    postgres_15: ThrowawayPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """One that goes through the pages of ordinary days, one after the other."""
    with _machine(postgres_15, tmp_path_factory.mktemp("day")) as made:
        yield made


def follow(machine: Machine, name: str) -> None:
    """Type the shell blocks of a page, in order, in a folder of its own."""
    machine.desk = machine.town.root / name
    machine.desk.mkdir()
    for key in machine.town.root.glob("*.json"):
        (machine.desk / key.name).symlink_to(key)
    page = (ROOT / "docs" / "operations" / f"{name}.md").read_text(encoding="utf-8")
    lines = [line for block in blocks(page, "sh") for line in lines_of(block) if line]
    assert len(lines) >= 5
    for line in lines:
        machine.type(line)


@pytest.mark.parametrize(
    "name", ["running", "keys", "doctor", "witness", "shared-signals", "gateway"]
)
def test_operations_can_be_followed(day: Machine, name: str):
    """The shell blocks of a page, typed in order, do what the page says."""
    (day.town.root / "backup").mkdir(exist_ok=True)
    follow(day, name)
    if name == "shared-signals":
        _must_be_told(day.town)


def test_a_recovery_can_be_followed(machine: Machine):
    """After an hour was lost, the page on recovery brings the log back."""
    _lose_an_hour(machine)
    follow(machine, "recovery")


def test_a_kill_without_the_store_can_be_followed(machine: Machine):
    """With no server at all, the page ends what is open, and the next server learns of it."""
    _lose_the_server(machine)
    follow(machine, "store-down")
    _must_be_merged(machine.town)


def _must_be_merged(town: Town) -> None:
    """What was killed with no server is over in the store of the next one, too."""
    assert town.accounts() == []
    (entry,) = town.json("alice", "status")["activations"]
    assert (entry["state"], entry["end_reason"]) == ("ended", "killed")
    assert list((town.home / "tombstones").iterdir()) == []


def _must_be_told(town: Town) -> None:
    """The token of the page fetches what happens from there on, signed with the token key."""
    field = {"authorization": f"Bearer {(town.root / 'shared-signals' / 'siem.token').read_text()}"}
    base = f"http://{town.address}"
    found = httpx.get(f"{base}/.well-known/ssf-configuration").json()
    assert found["issuer"] == base
    town.incident()
    activation = town.active()
    answer = httpx.post(f"{base}/ssf/v1/poll/siem", headers=field, json={}, timeout=30)
    head, body, signature = next(iter(answer.json()["sets"].values())).split(".")
    key = json.loads(town.installation.read_text())["token_key"]
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
    public.verify(_decoded(signature), f"{head}.{body}".encode())
    said = json.loads(_decoded(body))
    assert said["sub_id"]["session"]["id"] == activation
    assert said["aud"] == "https://siem.example"


@contextmanager
def _gateway(town: Town, desk: Path) -> Iterator[None]:
    """The gateway of the page, which is heard by its authority; it stops cleanly."""
    file, log = town.root / "gateway.toml", town.root / "gateway.log"
    file.write_text(
        f'[authority]\nservers = ["http://{town.address}"]\nkey = "{desk / "edge.json"}"\n'
        f'token_keys = ["{json.loads(town.installation.read_text())["token_key"]}"]\n'
        '[postgresql]\nname = "front"\nlisten = "127.0.0.1:0"\n'
    )
    words = ("gateway", "postgres", "--settings", str(file))
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "callpoint", *words],
            env=town.environment("edge"),
            stdout=subprocess.DEVNULL,
            stderr=written,
        )
    try:
        deadline = time.monotonic() + 30
        while "authority_heard" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _lose_the_server(machine: Machine) -> None:
    """Somebody has access, and there is neither server nor store."""
    machine.town.incident()
    machine.town.active()
    machine.type("systemctl stop callpoint")
    assert len(machine.town.accounts()) == 1


def _lose_an_hour(machine: Machine) -> None:
    """The machine comes back with an older copy of its database."""
    town = machine.town
    copy = f'sqlite3 {town.home}/callpoint.sqlite3 ".backup {town.root}/older"'
    machine.type(copy)
    town.incident()
    machine.type("systemctl stop callpoint")
    machine.type(f"rm -f {town.home}/callpoint.sqlite3-*; cp {town.root}/older {town.home}/x")
    (town.home / "x").replace(town.home / "callpoint.sqlite3")
    machine.type("systemctl start callpoint")
