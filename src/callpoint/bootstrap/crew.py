"""The background loops of a process."""

from functools import partial

from callpoint.bootstrap.process import Process
from callpoint.bootstrap.stamping import stamper
from callpoint.lifecycle.ask_witnesses import ask_witnesses
from callpoint.lifecycle.signal_desk import SignalDesk
from callpoint.workers.crew import Crew, Rhythm


def make_crew(process: Process, signals: SignalDesk | None) -> Crew:
    """They are not begun yet; what time does, and what of it others are told."""
    settings, services = process.settings, process.services
    return Crew(
        services,
        process.logger,
        forget_nonces=process.nonces.sweep,
        follow=process.follow,
        note_landmarks=process.note_landmarks,
        ask_witnesses=partial(ask_witnesses, services, process.witnesses),
        stamp=stamper(settings, services, process.http),
        signals=signals,
        rhythm=Rhythm(
            sweep=settings.sweep_for,
            reconcile=settings.reconcile_for,
            grace=settings.stop_for,
        ),
    )
