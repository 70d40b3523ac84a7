"""What no set of people could ever meet, and limits between keys."""

import pytest

from tests.fakes import orders
from tests.fakes.mistake import Mistake, assert_told, keys_and_words, with_person

REPAIR = "eligibilities.orders-repair"

MISTAKES = (
    Mistake(
        "more votes than voters",
        "quorum = 2, from",
        "quorum = 4, from",
        "quorum = 4",
        f"{REPAIR}.approval.quorum",
        "when alice asks, 4 must approve and only 3 can",
        "lower the quorum",
    ),
    Mistake(
        "more votes than voters beside the requester",
        'quorum = 1, from = ["group:incident-commanders"], within = "24h"',
        'quorum = 3, from = ["group:incident-commanders"], within = "24h"',
        "quorum = 3",
        "eligibilities.orders-maintenance.approval.quorum",
        "when grace asks, 3 must approve and only 2 can",
        "add approvers",
    ),
    Mistake(
        "approver answers for the agent",
        'quorum = 1, from = ["group:incident-commanders"], within = "10m"',
        'quorum = 1, from = ["alice"], within = "10m"',
        'from = ["alice"]',
        "eligibilities.orders-look.approval.quorum",
        "when alice asks, 1 must approve and nobody can",
        "add approvers",
    ),
    Mistake(
        "requester reviews",
        'review = { by = ["group:security"], triage = "3d"',
        'review = { by = ["grace"], triage = "3d"',
        'by = ["grace"]',
        "eligibilities.orders-maintenance.review.by",
        "when grace asks, nobody is left to review",
        "add reviewers",
    ),
    Mistake(
        "all reviewers must approve",
        'quorum = 2, from = ["group:incident-commanders"]',
        'quorum = 2, from = ["group:security"]',
        'quorum = 2, from = ["group:security"]',
        f"{REPAIR}.approval.from",
        "nobody from governance.security is left to add",
        "security group",
    ),
    Mistake(
        "the added approver was the reviewer",
        'members = ["erin", "frank"]',
        'members = ["erin"]',
        'review = { by = ["group:security"], triage = "3d"',
        "eligibilities.orders-maintenance.review.by",
        "nobody is left once the budget is spent to review",
        "add reviewers",
    ),
    Mistake(
        "agent in mode human",
        'mode = "assisted"',
        'mode = "human" ',
        'who = ["group:sre-oncall"]',
        "eligibilities.orders-look.who",
        "covers the agent 'orders-fixer', and mode is human",
        'mode = "assisted"',
    ),
    Mistake(
        "break-glass without incident",
        'incident = { severity = ["sev1", "sev2", "sev3"] }\n',
        "",
        "[eligibilities.orders-look]",
        "eligibilities.orders-look.incident",
        "break-glass needs an incident",
        "elevation lane",
    ),
    Mistake(
        "more governors must sign than there are",
        "quorum = 2 ",
        "quorum = 4 ",
        "quorum = 4 ",
        "governance.quorum",
        "4 governors must sign, and there are 3",
        "lower the quorum",
    ),
)


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_cap_that_cannot_be_met_is_told(mistake: Mistake):
    """Each mistake names the file, the line, the key, what is wrong and what to write."""
    assert_told(mistake)


def test_voters_without_a_key_cannot_vote():
    """A person without a human principal does not count as an approver: who would sign?"""
    text = with_person(
        "heidi", orders.changed(('["carol", "dave", "grace"]', '["carol", "heidi"]'))
    )
    assert "2 must approve and only one can" in keys_and_words(text)


def test_nobody_with_a_key_can_ask():
    """An eligibility that nobody could ever use is an error, not a dead line."""
    text = with_person("heidi", orders.changed(('members = ["grace"]', 'members = ["heidi"]')))
    assert "eligibilities.orders-maintenance.who: nobody in it has a principal" in keys_and_words(
        text
    )
