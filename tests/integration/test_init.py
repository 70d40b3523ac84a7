"""``callpoint init`` and ``callpoint target``: nothing half-made, nothing overwritten."""

import base64
import io
import json
from functools import partial
from pathlib import Path

import msgspec
import pytest

from callpoint.bootstrap import founding
from callpoint.bootstrap.home import Home
from callpoint.bootstrap.outside import Outside
from callpoint.bootstrap.process import open_process
from callpoint.config.default_policies import default_pack
from callpoint.config.files import Sources, load_directory
from callpoint.config.settings import load_settings
from callpoint.domain.declaration import Declaration
from callpoint.domain.eligibility import Severity
from callpoint.domain.errors import ConflictError, DeniedError, StoreUnavailableError, TamperError
from callpoint.domain.event import SignatureRecord
from callpoint.domain.governance import Bundle
from callpoint.domain.ids import incident_stream
from callpoint.lifecycle import incidents
from callpoint.lifecycle.landmark import Landmarks
from callpoint.ports.identity import Caller
from tests.fakes.clock import SeededRandom, SimulatedClock
from tests.fakes.homestead import Homestead
from tests.fakes.keys import Signer
from tests.servers import FreshDatabase

DSN = {"ORDERS_BROKER_DSN": "postgresql://broker@127.0.0.1:1/orders"}


@pytest.fixture
def here(tmp_path: Path) -> Homestead:
    return Homestead(tmp_path)


def sources(here: Homestead) -> Sources:
    return load_directory(here.config, default_pack())


def signatures(bundle: Bundle, *governors: str) -> tuple[SignatureRecord, ...]:
    return tuple(
        SignatureRecord(g, Signer(g).public, Signer(g).sign(bundle.message())) for g in governors
    )


def outside(**environment: str) -> Outside:
    return Outside(environment, SimulatedClock(), SeededRandom(), stream=io.StringIO())


def test_one_step_by_keys_on_this_machine(here: Homestead):
    """With enough governors' keys the installation is founded, and it says what to do next."""
    signers = ("--sign", here.key("erin"), "--sign", here.key("frank"))
    done = here.run("init", "--home", here.home, "--config", here.config, *signers)
    assert done.returncode == 0, done.stderr
    assert f"callpoint serve --home {here.home}" in done.stdout
    assert "TRIAL" not in done.stdout
    home = Home(here.home)
    assert home.is_founded
    pinned = home.pinned()
    assert pinned is not None
    assert (pinned.number, pinned.installation) == (1, home.installation().id)
    assert {path.name for path in here.root.iterdir() if path.name.startswith(".")} == set()
    again = here.run("init", "--home", here.home, "--config", here.config, *signers)
    assert (again.returncode, "holds an installation already" in again.stderr) == (4, True)


def test_too_few_signatures_make_nothing(here: Homestead):
    """Nothing is written before the governors' quorum is there."""
    done = here.run(
        *("init", "--home", here.home, "--config", here.config, "--sign", here.key("erin"))
    )
    assert (done.returncode, "1 of 2 needed governors signed" in done.stderr) == (3, True)
    stranger = here.run(
        *("init", "--home", here.home, "--config", here.config, "--sign", here.key("alice"))
    )
    assert (stranger.returncode, "not of a governor" in stranger.stderr) == (3, True)
    nobody = here.run("init", "--home", here.home, "--config", here.config)
    assert (nobody.returncode, "--propose" in nobody.stderr) == (2, True)
    assert not here.home.exists()


def test_a_single_governor_is_a_trial(tmp_path: Path):
    """One of one is allowed for trying out, and is said."""
    here = Homestead(tmp_path, governors=("erin",), quorum=1)
    done = here.run(
        *("init", "--home", here.home, "--config", here.config, "--sign", here.key("erin"))
    )
    assert done.returncode == 0, done.stderr
    assert "TRIAL" in done.stdout


def test_two_steps_with_signatures_made_elsewhere(here: Homestead):
    """Propose, sign with each governor's own command, found with the signatures."""
    proposed = here.run("init", "--home", here.home, "--config", here.config, "--propose")
    assert proposed.returncode == 0, proposed.stderr
    assert "callpoint sign" in proposed.stdout
    files: list[str | Path] = []
    for governor in ("erin", "frank"):
        proposal = here.home / "proposal.json"
        signed = here.run("sign", proposal, "--key", here.key(governor), "-o", "json")
        assert signed.returncode == 0, signed.stderr
        file = here.root / f"{governor}.signature"
        file.write_text(signed.stdout)
        files += ["--signatures", file]
    one = here.run("init", "--home", here.home, *files[:2])
    assert (one.returncode, Home(here.home).is_founded) == (3, False)
    done = here.run("init", "--home", here.home, *files, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["founded"] is True
    assert Home(here.home).is_founded


async def test_a_founding_that_was_cut_off_is_resumed(here: Homestead):
    """Dead after the commit and before the end, the same command finishes it."""
    bundle = founding.draft_bundle(here.home, sources(here), SeededRandom())
    founding.make_home(here.home, bundle)
    signed = signatures(bundle, "erin", "frank")
    await founding.found_home(here.home, signed, outside())
    home = Home(here.home)
    (home.root / "in-force.json").unlink()
    home.proposal.write_bytes(msgspec.json.encode(bundle))  # as it was when the process died
    again = founding.draft_bundle(here.home, sources(here), SeededRandom(9))
    assert again == bundle
    await founding.found_home(here.home, signed, outside())
    assert home.is_founded
    assert home.pinned() == bundle


def test_another_configuration_does_not_take_over_a_proposal(here: Homestead):
    """A proposal is signed as it is, or removed by a person."""
    founding.make_home(here.home, founding.draft_bundle(here.home, sources(here), SeededRandom()))
    text = (here.config / "callpoint.toml").read_text()
    (here.config / "callpoint.toml").write_text(text.replace('for = "30m"', 'for = "20m"'))
    with pytest.raises(ConflictError, match="another configuration"):
        founding.draft_bundle(here.home, sources(here), SeededRandom())


def test_a_folder_with_anything_in_it_is_left_alone(here: Homestead):
    """Nothing is written into a folder that somebody uses, nor over a file."""
    here.home.mkdir()
    (here.home / "thesis.tex").write_text("precious")
    with pytest.raises(ConflictError):
        founding.draft_bundle(here.home, sources(here), SeededRandom())
    bundle = founding.draft_bundle(here.root / "free", sources(here), SeededRandom())
    with pytest.raises(ConflictError):
        founding.make_home(here.home, bundle)
    assert [path.name for path in here.home.iterdir()] == ["thesis.tex"]
    (here.root / "file").write_text("x")
    with pytest.raises(ConflictError):
        founding.make_home(here.root / "file", bundle)
    with pytest.raises(StoreUnavailableError):
        founding.make_home(here.root / "file" / "home", bundle)


async def test_a_forged_signature_founds_nothing(here: Homestead):
    """A signature over something else does not count."""
    bundle = founding.draft_bundle(here.home, sources(here), SeededRandom())
    founding.make_home(here.home, bundle)
    other = msgspec.structs.replace(bundle, installation="zzzzzz")
    with pytest.raises(DeniedError):
        await founding.found_home(here.home, signatures(other, "erin", "frank"), outside())
    assert not Home(here.home).is_founded


async def test_a_pin_that_was_changed_by_hand_is_found(here: Homestead):
    """The configuration kept in the home folder is believed only with its digest."""
    here.found()
    pin = here.home / "in-force.json"
    pin.write_text(pin.read_text().replace('"oncall"', '"onhold"'))
    with pytest.raises(TamperError, match="changed by hand"):
        async with open_process(load_settings(here.home), outside()):
            pass


async def test_a_process_follows_what_is_published(here: Homestead):
    """Rules and connectors come from the store; a target without its secret is named."""
    here.found()
    async with open_process(load_settings(here.home), outside()) as process:
        await process.follow()
        assert list(process.connectors.unusable) == ["orders-db"]
        assert dict(process.services.targets) == {}
    async with open_process(load_settings(here.home), outside(**DSN)) as process:
        await process.follow()
        assert list(process.services.targets) == ["orders-db"]
        assert process.connectors.unusable == {}


async def test_a_process_leaves_how_far_it_has_proven_the_log(here: Homestead):
    """Both logs go on from there in the next process; one that never looked leaves it as it was."""
    here.found()
    stream = incident_stream("inc-7")
    async with open_process(load_settings(here.home), outside()) as process:
        await process.note_landmarks()
        assert Home(here.home).landmarks() == Landmarks()
        await process.follow()
        services = process.services
        caller = Caller(services.rules.last_proven.principals["frank"], key_id="frank")
        said = Declaration("inc-7", Severity.SEV1, ("orders-db",), "orders is down")
        await incidents.declare(services, caller, said)
        looked = partial(services.log.proven, installation=services.installation, streams=[stream])
        await services.store.read(looked)
        await process.note_landmarks()
    marks = Home(here.home).landmarks()
    assert marks.publications is not None
    assert marks.open is not None
    assert list(marks.publications.streams) == ["installation"]
    assert list(marks.open.streams) == [stream]
    async with open_process(load_settings(here.home), outside()) as process:
        await process.note_landmarks()
        assert Home(here.home).landmarks() == marks, "resumed, and nothing was logged since"


def test_the_store_can_be_postgresql(here: Homestead, database: FreshDatabase):
    """Genesis goes into PostgreSQL when its DSN's variable is named, and only then."""
    signers = ("--sign", here.key("erin"), "--sign", here.key("frank"), "--store-env", "STORE")
    unset = here.run("init", "--home", here.home, "--config", here.config, *signers)
    assert (unset.returncode, here.home.exists()) == (6, False)
    done = here.run(
        *("init", "--home", here.home, "--config", here.config, *signers),
        environment={"STORE": database.owner_url},
    )
    assert done.returncode == 0, done.stderr
    assert 'env = "STORE"' in (here.home / "server.toml").read_text()
    assert not list(here.home.glob("*.sqlite3*"))
    other = Homestead(_sub(here.root))
    taken = other.run(
        *("init", "--home", other.home, "--config", other.config, *signers),
        environment={"STORE": database.owner_url},
    )
    assert (taken.returncode, "belongs to installation" in taken.stderr) == (6, True)


def test_the_owner_gets_a_script(here: Homestead):
    """Prepare prints SQL for this installation and broker; without the DSN it says what to set."""
    arguments = ("target", "prepare", "orders-db", "--config", here.config)
    unset = here.run(*arguments, "--installation", "abcdef")
    assert (unset.returncode, "ORDERS_BROKER_DSN" in unset.stderr) == (6, True)
    wrong = here.run(*arguments, "--installation", "nope", environment=DSN)
    assert wrong.returncode == 2
    done = here.run(*arguments, "--installation", "abcdef", environment=DSN)
    assert done.returncode == 0, done.stderr
    assert "installation abcdef, broker role broker" in done.stdout
    part = here.run(*arguments, "--installation", "abcdef", "--database-part", environment=DSN)
    assert 0 < len(part.stdout) < len(done.stdout)


def test_a_selftest_tells_that_nobody_answers(here: Homestead):
    """A target that is not there is an error of the target's class."""
    here.found()
    done = here.run("target", "selftest", "orders-db", "--home", here.home, environment=DSN)
    assert (done.returncode, "does not answer" in done.stderr) == (5, True)
    unknown = here.run("target", "selftest", "billing", "--home", here.home, environment=DSN)
    assert unknown.returncode == 2


def test_a_signature_file_that_is_none_is_told(here: Homestead):
    """Whatever else a file holds, it is refused with its name."""
    file = here.root / "not.signature"
    file.write_bytes(base64.b64decode("/w=="))
    done = here.run(*("init", "--home", here.home, "--config", here.config, "--signatures", file))
    assert (done.returncode, "no signature" in done.stderr) == (2, True)


def _sub(root: Path) -> Path:
    made = root / "other"
    made.mkdir()
    return made
