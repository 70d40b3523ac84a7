"""The quorum against an oracle that tries every seating, and how it moves."""

from datetime import UTC, datetime
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from callpoint.domain.approval import Approval, Quorum, QuorumTally, Verdict, tally
from callpoint.domain.configuration import Configuration, Governance, Group
from callpoint.domain.principal import Person, Principal, PrincipalKind

PEOPLE = ("a", "b", "c", "d", "e", "f")
AT = datetime(2026, 3, 1, tzinfo=UTC)

people = st.sets(st.sampled_from(PEOPLE))
verdicts = st.sampled_from(Verdict)


def configured(approvers: set[str], security: set[str]) -> Configuration:
    """Two groups of people; ``bot`` is an agent that sits in both."""
    principals = {p: Principal(p, PrincipalKind.HUMAN, (p,), "") for p in PEOPLE}
    principals["bot"] = Principal("bot", PrincipalKind.AGENT, ("a",), "")
    return Configuration(
        governance=Governance({}, 1, ("group:security",)),
        persons={p: Person(p) for p in PEOPLE},
        groups={
            "approvers": Group("approvers", (*sorted(approvers), "bot")),
            "security": Group("security", (*sorted(security), "bot")),
        },
        principals=principals,
        targets={},
        eligibilities={},
    )


def voted(votes: list[tuple[str, Verdict]]) -> list[Approval]:
    return [Approval(p, p, verdict, "", "", "", AT) for p, verdict in votes]


def most_seats(need: int, extra: int, among: set[str], secure: set[str], who: set[str]) -> int:
    """How many seats ``who`` can fill at most, by trying every order of sitting down."""
    seats = [among] * need + [secure] * extra
    best = 0
    for order in permutations(sorted(who), min(len(who), len(seats))):
        for places in permutations(range(len(seats)), len(order)):
            best = max(best, sum(p in seats[s] for p, s in zip(order, places, strict=True)))
    return best


@st.composite
def cases(draw: st.DrawFn):
    need, extra = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    among, secure, excluded = draw(people), draw(people), draw(people)
    votes = draw(st.lists(st.tuples(st.sampled_from((*PEOPLE, "bot", "stranger")), verdicts)))
    return need, extra, among, secure, excluded, votes


def count(need, extra, among, secure, excluded, votes) -> QuorumTally:
    quorum = Quorum(need, ("group:approvers",), extra, ("group:security",) if extra else ())
    return tally(quorum, voted(votes), configured(among, secure), frozenset(excluded))


@given(cases())
def test_a_quorum_is_met_exactly_when_distinct_persons_can_take_all_seats(case):
    """The tally agrees with trying every seating; what is missing is the number of empty seats."""
    need, extra, among, secure, excluded, votes = case
    yes = {p for p, verdict in votes if verdict is Verdict.APPROVE} & set(PEOPLE)
    able = yes - excluded
    seated = most_seats(need, extra, among, secure, able)
    found = count(*case)
    assert found.met == (seated == need + extra)
    assert found.missing + found.missing_security == need + extra - seated
    assert found.missing >= 0
    assert found.missing_security >= 0
    assert not set(found.counted) & excluded


@given(cases())
def test_who_can_still_approve_is_exactly_who_would_bring_it_nearer(case):
    """A named person's yes leaves one seat less open, and nobody else's does."""
    need, extra, among, secure, excluded, votes = case
    found = count(*case)
    yes = {p for p, verdict in votes if verdict is Verdict.APPROVE}
    for person in PEOPLE:
        after = count(need, extra, among, secure, excluded, [*votes, (person, Verdict.APPROVE)])
        nearer = after.missing + after.missing_security < found.missing + found.missing_security
        assert nearer == (person in found.can_still_approve), person
        assert not (nearer and person in yes)


@given(cases(), st.sampled_from(PEOPLE), verdicts)
def test_votes_only_add_and_exclusions_only_take_away(case, person, verdict):
    """One more vote never undoes a met quorum, one more exclusion never makes one."""
    need, extra, among, secure, excluded, votes = case
    before = count(*case)
    more = count(need, extra, among, secure, excluded, [*votes, (person, verdict)])
    fewer = count(need, extra, among, secure, excluded | {person}, votes)
    assert more.met >= before.met
    assert fewer.met <= before.met


@given(cases())
def test_a_person_counts_once_however_often_it_votes(case):
    """The same votes twice, in another order, are the same tally."""
    need, extra, among, secure, excluded, votes = case
    assert count(need, extra, among, secure, excluded, [*votes, *reversed(votes)]) == count(*case)


def test_a_quorum_of_nobody_is_never_met():
    """Zero needed approvals is no quorum."""
    assert not tally(Quorum(0, ("group:approvers",)), [], configured(set(), set()), frozenset()).met
