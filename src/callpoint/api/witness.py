"""This installation as a witness of other logs: C2SP tlog-witness, under ``/witness``.

Nobody is asked who he is: what counts is the log's own signature on the checkpoint.
"""

from typing import Any

from litestar import Controller, MediaType, Request, Response, get, post
from litestar.params import FromPath

from callpoint.api.answers import PROBLEMS
from callpoint.api.surface import GivenSurface
from callpoint.audit.submission import SIZE_TYPE, OutdatedError, SubmissionError
from callpoint.domain.errors import NotFoundError
from callpoint.lifecycle.cosign import WitnessDesk


class WitnessController(Controller):
    """Submission and monitoring prefix are one."""

    path = "/witness"
    tags = ("witness",)

    @post(
        "/add-checkpoint",
        status_code=200,
        media_type=MediaType.TEXT,
        responses=PROBLEMS,
        summary="tlog-witness: cosign a checkpoint",
    )
    async def add_checkpoint(
        self, request: Request[Any, Any, Any], surface: GivenSurface
    ) -> Response[bytes]:
        """200 with the signature line; 400, 403, 404, 409 (with the size) and 422 as specified."""
        desk = _desk(surface.witness)
        try:
            line = await desk.add_checkpoint(await request.body())
        except OutdatedError as error:
            # As a header: to a media type below text/ the framework would add a charset.
            headers = {"content-type": SIZE_TYPE}
            return Response(f"{error.size}\n".encode(), status_code=409, headers=headers)
        except SubmissionError as error:
            return Response(
                f"{error}\n".encode(), status_code=error.status, media_type=MediaType.TEXT
            )
        return Response(line.encode(), status_code=200, media_type=MediaType.TEXT)

    @get(
        "/{origin_hash:str}/checkpoint",
        media_type=MediaType.TEXT,
        responses=PROBLEMS,
        summary="tlog-witness: what was cosigned last",
    )
    async def checkpoint(
        self, surface: GivenSurface, origin_hash: FromPath[str]
    ) -> Response[bytes]:
        """By the SHA-256 of the log's origin, in lower-case hex."""
        note = await _desk(surface.witness).checkpoint(origin_hash)
        return Response(note.encode(), media_type=MediaType.TEXT)


def _desk(desk: WitnessDesk | None) -> WitnessDesk:
    if desk is None:
        raise NotFoundError(
            "this installation is no witness",
            way_out="its operator makes a witness key with `callpoint key witness`",
        )
    return desk
