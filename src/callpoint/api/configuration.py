"""The rules in force, and how they change: signed by governors, whoever brings them."""

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody

from callpoint.api.answers import PROBLEMS
from callpoint.api.authentication import GivenCaller, signed
from callpoint.api.messages import ConfigurationView, Publication
from callpoint.api.surface import GivenSurface
from callpoint.domain.decision import Action
from callpoint.domain.governance import Published
from callpoint.lifecycle import facts
from callpoint.lifecycle.publish import publish
from callpoint.lifecycle.rules import Rules
from callpoint.lifecycle.services import Services
from callpoint.ports.identity import Caller


class ConfigurationController(Controller):
    """One bundle at a time."""

    path = "/v1/configuration"
    guards = (signed,)
    tags = ("configuration",)

    @get(responses=PROBLEMS, summary="The bundle in force")
    async def in_force(self, surface: GivenSurface, caller: GivenCaller) -> ConfigurationView:
        """For governors, and for who may read the log: it names every person."""
        rules = await surface.services.rules.current()
        await _enforce(surface.services, caller, rules)
        return ConfigurationView(
            bundle=rules.bundle,
            digest=rules.digest,
            configuration_digest=rules.configuration_digest,
            policy_digest=rules.policy_digest,
        )

    @get("/{number:int}", responses=PROBLEMS, summary="A bundle that is or was in force")
    async def published(
        self, surface: GivenSurface, caller: GivenCaller, number: FromPath[int]
    ) -> ConfigurationView:
        """For the same people: what was decided long ago was decided under it."""
        rules = await surface.services.rules.current()
        await _enforce(surface.services, caller, rules)
        bundle = (await surface.services.rules.published(number)).bundle
        return ConfigurationView(
            bundle=bundle,
            digest=bundle.digest(),
            configuration_digest=bundle.configuration_digest(),
            policy_digest=bundle.policy_digest(),
        )

    @post(status_code=200, responses=PROBLEMS, summary="Put a signed bundle in force")
    async def publish(
        self, surface: GivenSurface, caller: GivenCaller, data: JSONBody[Publication]
    ) -> Published:
        """Widening needs the governors' quorum; tightening one of them, and applies at once."""
        services = surface.services
        made = await publish(services, caller, data.bundle, data.signatures, surface.check)
        await services.rules.current()  # connectors follow now, not with the next request
        return made


async def _enforce(services: Services, caller: Caller, rules: Rules) -> None:
    """A governor always may: a policy that locks everybody out must be replaceable."""
    governors = rules.configuration.governance.governors
    if caller.principal.kind == "human" and set(caller.principal.persons) & governors.keys():
        return
    now = await services.store.read(lambda view: view.now())
    who = facts.actor(caller, rules.configuration)
    await services.pep.enforce(rules, [facts.plain_question(Action.LOG_READ, who, now)])
