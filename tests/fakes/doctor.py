"""Asking a world what is wrong with it."""

from callpoint.lifecycle.diagnose import Diagnosis, diagnose
from callpoint.lifecycle.symptoms.symptom import Code, Symptom
from tests.fakes.world import World


async def look(world: World, who: str = "erin", **more: object) -> Diagnosis:
    return await diagnose(world.services, world.caller(who), {}, **more)  # type: ignore[arg-type]  # members by name


def only(told: Diagnosis, code: Code) -> Symptom:
    (found,) = [s for s in told.symptoms if s.code is code]
    return found


def codes(told: Diagnosis) -> list[Code]:
    return [s.code for s in told.symptoms]
