"""Every key of the governed configuration, with its limits and default: the one place.

``docs/configuration.md`` is compared with these tables by a test. Limits that depend on a second
key (a break-glass activation is shorter) are in ``rules``.
"""

from datetime import timedelta

from callpoint.config.connectors import CONNECTORS
from callpoint.config.kinds import (
    BOOLEAN,
    GROUP_NAME,
    NAME,
    OPENING,
    PUBLIC_KEY,
    RATE,
    SHA256,
    SUBJECT,
    TITLE,
    WORD,
    array,
    choice,
    integer,
    mapping,
    span,
)
from callpoint.config.log_names import LOG_KEY, LOG_NAME, URL, WITNESS_KEY
from callpoint.config.offline import OFFLINE, OFFLINE_ALLOWANCE
from callpoint.config.shape import Key, Shape, table
from callpoint.config.signals import SIGNAL
from callpoint.domain.eligibility import Lane, Mode, Purpose, Severity
from callpoint.domain.gateway import POSTGRESQL, Evidence, Recording
from callpoint.domain.principal import PrincipalKind
from callpoint.domain.privilege import Privilege
from callpoint.domain.witnessing import WITHIN

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

GOVERNANCE: Shape = (
    Key("quorum", integer(1, 9), "Governors who must sign what widens access (m of n)."),
    Key(
        "security",
        array(GROUP_NAME, empty="name the group that adds an approver when a budget is spent"),
        "Groups that supply the added approver when a budget is spent or a review is late.",
    ),
    Key(
        "governors",
        mapping(NAME, PUBLIC_KEY, empty="name at least one governor with a public key"),
        "Person to the key with which that person signs bundles.",
    ),
)

PERSON: Shape = (
    Key("name", TITLE, "The person's name, for screens; it never enters the log.", default=""),
)

GROUP_SHAPE: Shape = (
    Key(
        "members",
        array(NAME, empty="name at least one member, or remove the group"),
        "Persons, and workload or agent principals. Static: a rota never changes who may approve.",
    ),
)

PRINCIPAL: Shape = (
    Key("kind", choice(PrincipalKind), "What sort of actor it is."),
    Key("person", NAME, "The one person behind it; human only.", default=None),
    Key(
        "answers",
        array(NAME, empty="name at least one person who answers for it"),
        "Persons who answer for it, and so never approve for it; workload and agent only.",
        default=None,
    ),
    Key("key", PUBLIC_KEY, "The key that its requests and votes are signed with."),
)

KNOWN_ACCOUNT: Shape = (
    Key("owner", GROUP_NAME, "The group that answers for it."),
    Key("purpose", TITLE, "What it is for.", default=""),
)

TARGET: Shape = (
    Key("connector", choice(tuple(CONNECTORS)), "The kind of system."),
    Key("environment", NAME, 'For policy, for instance "production".'),
    Key(
        "roles",
        mapping(NAME, table(()), empty="define at least one role: nothing could be opened"),
        "What can be opened on it: role name to the connector's settings for it.",
    ),
    Key("owner", GROUP_NAME, "The group that owns the system.", default=""),
    Key(
        "accounts",
        mapping(WORD, table(KNOWN_ACCOUNT), empty="name an account, or leave the key out"),
        "Accounts on it that somebody answers for, by their name there: `callpoint posture "
        "targets` calls every other one unowned.",
        default=None,
    ),
    Key(
        "gateway",
        NAME,
        "The gateway that it is reached through: its credentials stay there, and each action is "
        "decided. Left out, requesters connect to the target itself.",
        default=None,
    ),
    Key(
        "evidence",
        choice(Evidence),
        "before, also when it is left out: an action is durable on record before it is let "
        "through. with: what only reads may pass while its record is being written, and a crash "
        "can lose such records; the evidence says both. Whatever else is done waits as ever.",
        default=None,
    ),
    Key(
        "recording",
        choice(Recording),
        "How the texts of actions go on record. full, also when it is left out; hashed: their "
        "SHA-256 alone; redacted: without the values in them.",
        default=None,
    ),
)

GATEWAY: Shape = (
    Key("protocol", choice((POSTGRESQL,)), "What it speaks: that of the targets behind it."),
    Key(
        "advertise_host",
        WORD,
        "Host that the requester is told to connect to.",
        into="host",
    ),
    Key(
        "advertise_port",
        integer(1, 65535),
        "Port that the requester is told.",
        default=5432,
        into="port",
    ),
    Key(
        "sslmode",
        choice(("disable", "prefer", "require", "verify-ca", "verify-full")),
        "What the requester is told to use.",
        default="verify-full",
    ),
    Key(
        "principal",
        NAME,
        "The workload whose key a gateway that runs alone signs with; left out, it runs inside "
        "the server.",
        default="",
    ),
)

ROLE: Shape = (
    Key(
        "privilege",
        choice(Privilege),
        "How much the role can do: what is more privileged is revoked first.",
        default=Privilege.NORMAL,
    ),
)
"""Keys of each role of a target, beside the connector's own."""

INCIDENT_RULE: Shape = (
    Key(
        "severity",
        array(choice(Severity), empty="name the severities that justify it"),
        "Severities that justify it.",
    ),
    Key(
        "must_name_target",
        BOOLEAN,
        "Whether the incident must name the very target that is opened.",
        default=True,
    ),
)

APPROVAL_RULE: Shape = (
    Key("quorum", integer(1, 9), "Distinct natural persons who must approve."),
    Key(
        "from",
        array(SUBJECT, empty="name who approves: without approvers nobody could ever get access"),
        "Groups and human principals who may approve.",
        into="approvers",
    ),
    Key(
        "within",
        span(MINUTE, 24 * HOUR),
        "When they have not answered by then, the request lapses.",
    ),
)

BUDGET_RULE: Shape = (
    Key(
        "incidents",
        integer(1, 100),
        "Distinct incidents that the eligibility may serve within the window, whoever asks.",
    ),
    Key("per", span(DAY, 366 * DAY), "The window."),
)

REVIEW_RULE: Shape = (
    Key(
        "by",
        array(SUBJECT, empty="name who reviews: an activation is not done before its review"),
        "Groups and human principals who review; never one who used or approved.",
    ),
    Key("triage", span(15 * MINUTE, 7 * DAY), "Deadline of the first look, from the end."),
    Key("close", span(HOUR, 30 * DAY), "Deadline of the verdict, from the end; not before triage."),
)

_MANY = 1_000_000_000

ALLOWANCE: Shape = (
    Key("actions", integer(1, _MANY), "Statements, commands, calls.", default=None),
    Key("rows", integer(0, _MANY), "Rows that reach the actor or are taken in.", default=None),
    Key(
        "bytes",
        integer(0, 1000 * _MANY),
        "Bytes of what reaches the actor or is taken in.",
        default=None,
    ),
    Key("objects", integer(1, _MANY), "Distinct objects that are touched.", default=None),
    Key(
        "destructive",
        integer(0, _MANY),
        "Actions after which something is gone: delete, truncate, drop, alter table.",
        default=None,
    ),
    Key("rate", RATE, "Actions within any span of that length.", default=None),
)

ELIGIBILITY: Shape = (
    Key("lane", choice(Lane), "Emergency, or planned elevation: two lanes kept apart."),
    Key("mode", choice(Mode), "How much of it a machine may do."),
    Key(
        "who",
        array(SUBJECT, empty="name who may ask, or remove the eligibility"),
        "Groups and principals who may ask.",
    ),
    Key(
        "opens",
        array(OPENING, empty="name what it opens, or remove the eligibility"),
        "The target roles that it opens.",
    ),
    Key(
        "for",
        span(MINUTE, 8 * HOUR),
        "How long an activation lasts at most; in the break-glass lane at most 4h.",
        into="ttl",
    ),
    Key(
        "incident",
        table(INCIDENT_RULE),
        "Which incidents justify it; may be left out in the elevation lane only.",
        default=None,
    ),
    Key("approval", table(APPROVAL_RULE), "How many of whom must approve, and how soon."),
    Key("budget", table(BUDGET_RULE), "How rare it must be."),
    Key("review", table(REVIEW_RULE), "Who looks at it afterwards, and by when."),
    Key(
        "idle",
        span(MINUTE, 8 * HOUR),
        "End it when nothing was fetched or used for so long; not longer than `for`.",
        default=None,
    ),
    Key(
        "accept_residual",
        BOOLEAN,
        "The owner accepts that a live session may outlive its expiry while Callpoint is dead.",
        default=False,
    ),
    Key(
        "purposes",
        array(choice(Purpose), empty="name at least one purpose, or leave the key out"),
        "Purposes that may be given.",
        default=(Purpose.RECOVER, Purpose.INVESTIGATE, Purpose.CONTAIN),
    ),
    Key(
        "allowance",
        table(ALLOWANCE),
        "How much one activation may do through gateways; when it is spent, the sessions pause "
        "until a person resumes them.",
        default=None,
    ),
    *OFFLINE,
)

SOURCE: Shape = (
    Key("kind", choice(("alertmanager",)), "The product that reports."),
    Key("token_sha256", SHA256, "SHA-256 of the bearer token that it sends."),
    Key(
        "severity",
        mapping(WORD, choice(Severity), empty="map at least one of its severities"),
        "Its severity words to ours.",
    ),
    Key(
        "targets",
        mapping(WORD, array(NAME), empty="map at least one of its services"),
        "Its service words to our targets.",
    ),
    Key("severity_label", WORD, "The label that holds the severity.", default="severity"),
    Key("target_label", WORD, "The label that holds the service.", default="service"),
    Key(
        "stale_after",
        span(5 * MINUTE, 7 * DAY),
        "When nothing was heard for so long, its incidents are unknown.",
        default=8 * HOUR,
    ),
)

WITNESS: Shape = (
    Key("url", URL, "Its submission prefix: checkpoints are posted to `URL/add-checkpoint`."),
    Key("key", WITNESS_KEY, "Its key, from whoever runs it: never from the witness itself."),
)

WITNESSED_LOG: Shape = (
    Key("origin", LOG_NAME, "The log's origin; after a recovery it is another log."),
    Key(
        "keys",
        array(LOG_KEY, empty="name the log's key", most=4),
        "Its verifier keys; two of them while one is replaced.",
    ),
)

WITNESSING: Shape = (
    Key(
        "quorum",
        integer(0, 9),
        "Witnesses that must have cosigned the log before anything is issued; 0 waits for nobody.",
        default=0,
    ),
    Key(
        "within",
        span(MINUTE, 7 * DAY),
        "How old the cosignatures that count may be.",
        default=WITHIN,
    ),
    Key(
        "witnesses",
        mapping(NAME, table(WITNESS)),
        "Who sees this log, by a name of yours.",
        default=None,
    ),
    Key(
        "logs",
        mapping(NAME, table(WITNESSED_LOG)),
        "Whose logs this installation cosigns, by a name of yours.",
        default=None,
    ),
)

SECTIONS: dict[str, Shape] = {
    "governance": GOVERNANCE,
    "persons": PERSON,
    "groups": GROUP_SHAPE,
    "principals": PRINCIPAL,
    "targets": TARGET,
    "gateways": GATEWAY,
    "eligibilities": ELIGIBILITY,
    "sources": SOURCE,
    "witnessing": WITNESSING,
    "signals": SIGNAL,
}
"""Top-level tables; all but ``governance`` and ``witnessing`` hold one table for each name."""

OPTIONAL_SECTIONS = frozenset({"gateways", "sources", "witnessing", "signals"})

INNER: dict[str, Shape] = {
    "targets.NAME.roles.NAME": ROLE,
    "targets.NAME.accounts.NAME": KNOWN_ACCOUNT,
    "eligibilities.NAME.incident": INCIDENT_RULE,
    "eligibilities.NAME.approval": APPROVAL_RULE,
    "eligibilities.NAME.budget": BUDGET_RULE,
    "eligibilities.NAME.review": REVIEW_RULE,
    "eligibilities.NAME.allowance": ALLOWANCE,
    "eligibilities.NAME.offline_allowance": OFFLINE_ALLOWANCE,
    "witnessing.witnesses.NAME": WITNESS,
    "witnessing.logs.NAME": WITNESSED_LOG,
}
"""Tables inside tables, for the documents."""
