"""The machine that the command line really runs on."""

import signal
import sys
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from callpoint.cli.machine import ThisMachine


def test_a_program_gets_its_environment_and_gives_its_status():
    """Nothing of our own environment is added, and the status comes back."""
    code = "import os, sys; sys.exit(7 if os.environ.get('ONLY') == 'this' else 1)"
    assert ThisMachine().run([sys.executable, "-c", code], {"ONLY": "this"}) == 7


def test_an_interrupt_belongs_to_the_program():
    """Ctrl-C in a session ends a query there; we go on to ask what becomes of the access."""
    code = (
        "import os, signal, sys\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "sys.exit(5)\n"
    )
    assert ThisMachine().run([sys.executable, "-c", code], {}) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_us_ends_the_program_first(number: signal.Signals, tmp_path: Path):
    """A supervisor or a closed terminal leaves no session behind, and all is put away."""
    before = signal.getsignal(number)
    over = tmp_path / "over"
    code = (
        "import os, signal, sys, time\n"
        f"signal.signal({number}, lambda *_: (open({str(over)!r}, 'w').close(), sys.exit(3)))\n"
        f"os.kill(os.getppid(), {number})\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(SystemExit) as ended:
        ThisMachine().run([sys.executable, "-c", code], {})
    assert (ended.value.code, over.exists()) == (128 + number, True)
    assert signal.getsignal(number) is before


def test_a_program_that_a_signal_ended():
    """Its status is the shell's: 128 and the number."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert ThisMachine().run([sys.executable, "-c", code], {}) == 128 + signal.SIGKILL


async def test_clock_and_random_source():
    """UTC, forward only, and values of the size that was asked for."""
    machine = ThisMachine()
    before = machine.monotonic()
    await machine.sleep(timedelta(milliseconds=1))
    machine.pause(timedelta(seconds=-1))
    assert machine.now().tzinfo is UTC
    assert machine.monotonic() > before
    assert (len(machine.token(16)), len(machine.ident(12))) == (16, 12)
    assert machine.ident(12)[0].isalpha()
    assert 0 <= machine.fraction() < 1
    assert machine.find_program("sh") is not None
    assert machine.find_program("no-such-program-here") is None
    assert "PATH" in machine.environment
    assert machine.interactive in {True, False}
