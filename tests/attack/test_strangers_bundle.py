"""A bundle that no governor signed, from anybody who has a key."""

import msgspec
import pytest

from callpoint.domain.errors import DeniedError, RequestError
from callpoint.domain.ids import INSTALLATION_STREAM
from callpoint.domain.principal import Principal, PrincipalKind
from callpoint.lifecycle.publish import publish
from tests.fakes.world import World, make_world, signed


def _never(bundle):
    pytest.fail(f"bundle {bundle.number} was checked, which takes seconds")


def _next(world: World, **changes):
    old = world.bundle
    return msgspec.structs.replace(old, number=2, previous=old.digest(), **changes)


@pytest.mark.parametrize("signers", [(), ("alice",), ("fixer", "alice")])
async def test_an_unsigned_bundle_costs_no_check(signers):
    """It is refused and recorded before its policies are looked at."""
    world = await make_world()
    flood = {f"p{n}.cedar": "permit (principal, action, resource);" for n in range(50)}
    bundle = _next(world, policies=flood)
    with pytest.raises(DeniedError):
        await publish(
            world.services, world.caller("fixer"), bundle, signed(bundle, *signers), _never
        )
    last = (await world.services.store.read(lambda view: view.entries(INSTALLATION_STREAM)))[-1]
    assert b"bundle:refused" in last.leaf


async def test_a_name_that_cannot_be_signed_is_a_wrong_request():
    """A look-alike in another alphabet has no canonical form: no defect, and no check."""
    world = await make_world()
    rules = world.bundle.configuration
    double = Principal("al\u0456ce", PrincipalKind.HUMAN, ("alice",), "")
    people = {**rules.principals, double.id: double}
    bundle = _next(world, configuration=msgspec.structs.replace(rules, principals=people))
    old = signed(world.bundle, "gina", "hugo")
    with pytest.raises(RequestError, match="cannot be signed"):
        await publish(world.services, world.caller("alice"), bundle, old, _never)
