"""That there is an incident, in a person's words."""

import msgspec

from callpoint.domain.eligibility import Severity


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person declares; untrusted. ``incident`` is the incident tool's own name for it."""

    incident: str
    severity: Severity
    targets: tuple[str, ...]
    title: str = ""
