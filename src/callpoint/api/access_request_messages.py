"""What is answered about access requests (AuthZEN Access Request and Approval Profile, draft 1)."""

from datetime import datetime

import msgspec


class AccessRequestHint(msgspec.Struct, frozen=True):
    """``context.access_request``: what was denied can be asked for.

    Attributes:
        template: The eligibility.
        binding_token: Which question was denied; to be returned as it is.
        request_schema_url: What a submission needs besides.
    """

    template: str
    expires_at: datetime
    binding_token: str
    request_schema_url: str


class ApprovalView(msgspec.Struct, frozen=True, omit_defaults=True):
    """An approval. It is no ticket: present it as ``context.approval`` and ask again.

    Attributes:
        approved_until: It holds no longer than this, and may end before.
    """

    id: str
    approved_until: datetime
    approved_at: datetime | None = None


class Progress(msgspec.Struct, frozen=True):
    """How far the vote is: each distinct person that must approve is a step.

    Attributes:
        awaiting: Persons who may still fill what is missing.
    """

    current_step: int
    total_steps: int
    awaiting: tuple[str, ...]


class Links(msgspec.Struct, frozen=True):
    """Where more can be done."""

    cancel: str


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """An access request on its way: an activation, in the profile's words."""

    id: str
    status: str
    status_endpoint: str
    expires_at: datetime | None = None
    progress: Progress | None = None
    links: Links | None = None


class Result(msgspec.Struct, frozen=True):
    """What came of an approved request: ask again, with this approval."""

    approval: ApprovalView
    mode: str = "reevaluate"


class TaskAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The task, and the result of an approved one."""

    task: Task
    result: Result | None = None
