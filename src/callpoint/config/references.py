"""Second pass: every name that is used exists, and means one thing."""

from collections.abc import Iterable, Mapping

from callpoint.config.document import Problems, closest
from callpoint.config.positions import Path
from callpoint.domain.configuration import GROUP, Configuration, Target
from callpoint.domain.gateway import Gateway
from callpoint.domain.principal import Principal, PrincipalKind

Sections = Mapping[str, Mapping[str, object]]
"""Declared names by section, also of entries that were refused: those do not dangle."""


def check_references(found: Configuration, sections: Sections, problems: Problems) -> None:
    """Note each dangling or ambiguous name, and each key that two hold."""
    names = _Names(found, sections, problems)
    names.governance()
    names.groups()
    names.principals()
    names.eligibilities()
    names.targets_and_sources()
    names.signals()
    _check_shared_keys(found, problems)


class _Names:
    def __init__(self, found: Configuration, sections: Sections, problems: Problems) -> None:
        self.found = found
        self.sections = sections
        self.problems = problems

    def _must_exist(self, section: str, name: str, path: Path) -> bool:
        known = self.sections[section]
        if name in known:
            return True
        what = "eligibility" if section == "eligibilities" else section.removesuffix("s")
        self.problems.add(
            path,
            f"no {what} is called {name!r}",
            f"define [{section}.{name}]; {closest(name, known)}",
        )
        return False

    def _group(self, subject: str, path: Path) -> None:
        self._must_exist("groups", subject.removeprefix(GROUP), path)

    def governance(self) -> None:
        for person in self.found.governance.governors:
            self._must_exist("persons", person, ("governance", "governors", person))
        for number, group in enumerate(self.found.governance.security):
            self._group(group, ("governance", "security", number))

    def groups(self) -> None:
        for group in self.found.groups.values():
            for number, member in enumerate(group.members):
                self._member(member, ("groups", group.id, "members", number))

    def _member(self, member: str, path: Path) -> None:
        if member in self.sections["persons"]:
            return
        principal = self.found.principals.get(member)
        if principal is not None and principal.kind is PrincipalKind.HUMAN:
            self.problems.add(
                path,
                f"{member!r} is a human principal",
                f"list the person: {principal.persons[0]!r}",
            )
        elif member not in self.sections["principals"]:
            known = (*self.sections["persons"], *self.sections["principals"])
            self.problems.add(
                path,
                f"no person, workload or agent is called {member!r}",
                f"define [persons.{member}]; {closest(member, known)}",
            )

    def principals(self) -> None:
        for principal in self.found.principals.values():
            human = principal.kind is PrincipalKind.HUMAN
            for number, person in enumerate(principal.persons):
                where: Path = ("person",) if human else ("answers", number)
                self._must_exist("persons", person, ("principals", principal.id, *where))
            self._one_meaning(principal)

    def _one_meaning(self, principal: Principal) -> None:
        """In a group a name is a person's or a machine's: it must not be both."""
        is_own = principal.kind is PrincipalKind.HUMAN and principal.persons == (principal.id,)
        if principal.id in self.sections["persons"] and not is_own:
            self.problems.add(
                ("principals", principal.id),
                "is also the name of another person",
                "rename the principal: a name has one meaning",
            )

    def eligibilities(self) -> None:
        for eligibility in self.found.eligibilities.values():
            path = ("eligibilities", eligibility.id)
            self._subjects(eligibility.who, (*path, "who"))
            self._deciders(eligibility.approval.approvers, (*path, "approval", "from"))
            self._deciders(eligibility.review.by, (*path, "review", "by"))
            for number, opening in enumerate(eligibility.opens):
                here = (*path, "opens", number)
                if self._must_exist("targets", opening.target, here):
                    self._role(opening.target, opening.role, here)

    def _role(self, target_name: str, role: str, path: Path) -> None:
        target = self.found.targets.get(target_name)
        if target is not None and role not in (roles := {r.id for r in target.roles}):
            self.problems.add(path, f"{target_name} has no role {role!r}", closest(role, roles))

    def _subjects(self, subjects: Iterable[str], path: Path) -> None:
        for number, subject in enumerate(subjects):
            if subject.startswith(GROUP):
                self._group(subject, (*path, number))
            else:
                self._must_exist("principals", subject, (*path, number))

    def _deciders(self, subjects: tuple[str, ...], path: Path) -> None:
        """Only persons approve and review: a machine listed by name would never count."""
        self._subjects(subjects, path)
        for number, subject in enumerate(subjects):
            principal = self.found.principals.get(subject)
            if principal is not None and principal.kind is not PrincipalKind.HUMAN:
                self.problems.add(
                    (*path, number),
                    f"{subject!r} is a {principal.kind}, and only persons decide",
                    "name a group or a human principal",
                )

    def targets_and_sources(self) -> None:
        for target in self.found.targets.values():
            if target.owner:
                self._group(target.owner, ("targets", target.id, "owner"))
            for name, account in target.known_accounts.items():
                self._group(account.owner, ("targets", target.id, "accounts", name, "owner"))
            if target.behind:
                self._gateway(target)
        for gateway in self.found.known_gateways.values():
            if gateway.principal:
                self._signer(gateway)
        for source in self.found.sources.values():
            for word, named in source.targets.items():
                for number, name in enumerate(named):
                    path = ("sources", source.id, "targets", word, number)
                    self._must_exist("targets", name, path)

    def _gateway(self, target: Target) -> None:
        path: Path = ("targets", target.id, "gateway")
        if not self._must_exist("gateways", target.behind, path):
            return
        gateway = self.found.known_gateways.get(target.behind)
        if gateway is not None and gateway.protocol != target.connector:
            self.problems.add(
                path,
                f"{gateway.id} speaks {gateway.protocol}, and {target.id} is {target.connector}",
                "name a gateway that speaks the target's protocol, or leave the key out",
            )

    def _signer(self, gateway: Gateway) -> None:
        path: Path = ("gateways", gateway.id, "principal")
        if not self._must_exist("principals", gateway.principal, path):
            return
        signer = self.found.principals.get(gateway.principal)
        if signer is not None and signer.kind is not PrincipalKind.WORKLOAD:
            self.problems.add(
                path,
                f"{signer.id!r} is a {signer.kind}, and a gateway is a workload",
                'define a principal with kind = "workload" for it',
            )

    def signals(self) -> None:
        for stream in self.found.streams.values():
            path = ("signals", stream.id)
            if stream.receiver:
                self._must_exist("principals", stream.receiver, (*path, "receiver"))
            for principal in stream.users:
                self._must_exist("principals", principal, (*path, "users", principal))


def _check_shared_keys(found: Configuration, problems: Problems) -> None:
    """A key is one actor's: whoever holds it would otherwise act under two names.

    A governor may use the key of a principal of the same person: what is signed says what it is.
    """
    holders: dict[str, str] = {}
    for principal in found.principals.values():
        other = holders.setdefault(principal.key, principal.id)
        if other != principal.id:
            problems.add(
                ("principals", principal.id, "key"),
                f"is the key of {other!r} too",
                "make one key for each: `callpoint keygen NAME`",
            )
    governors: dict[str, str] = {}
    for person, key in found.governance.governors.items():
        path = ("governance", "governors", person)
        other = governors.setdefault(key, person)
        if other != person:
            problems.add(path, f"is the key of governor {other!r} too", "make one key for each")
        holder = found.principals.get(holders.get(key, ""))
        if holder is not None and holder.persons != (person,):
            problems.add(path, f"is the key of principal {holder.id!r}", "make one key for each")
