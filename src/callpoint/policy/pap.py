"""The policy administration point: what is checked before policies are published."""

from collections.abc import Mapping

from callpoint.domain.configuration import Configuration
from callpoint.domain.errors import ConfigError
from callpoint.policy.cases import CaseResult, run_cases
from callpoint.policy.pdp import Pdp
from callpoint.policy.policy_set import PolicySet, problems


def check(policies: Mapping[str, str], configuration: Configuration) -> list[ConfigError]:
    """Everything that is wrong with the policies; empty when they can be published."""
    return problems(policies, configuration)


def decider(policies: Mapping[str, str], configuration: Configuration) -> Pdp:
    """The PDP of a bundle's policies and configuration; ConfigErrors if the policies are wrong."""
    return Pdp(PolicySet.load(policies, configuration), configuration)


def run_tests(
    policies: Mapping[str, str], tests: Mapping[str, str], configuration: Configuration
) -> list[CaseResult]:
    """Run the policy tests (file name → TOML text).

    Raises:
        ConfigError: A policy or a test file is wrong.
    """
    policy_set = PolicySet.load(policies, configuration)
    return [
        result
        for name in sorted(tests)
        for result in run_cases(
            tests[name], name, configuration, lambda world: Pdp(policy_set, world)
        )
    ]


def untested(policies: Mapping[str, str], results: list[CaseResult]) -> tuple[str, ...]:
    """Ids of policies that decided no case: nobody would notice if they were lost."""
    decided = {name for result in results for name in result.decision.policies}
    return tuple(name for name in PolicySet.assembled(policies).policies if name not in decided)
