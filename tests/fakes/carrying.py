"""Transports of httpx as what the command line takes: its requests, its answers, its errors."""

import httpx

from callpoint.cli.transport import Answer, Request, UnansweredError, UnreachedError


class Carrying(httpx.BaseTransport):
    """Implements ``cli.transport.Transport`` by the ``handle_request`` of an httpx transport."""

    def carry(self, request: Request) -> Answer:
        """Through httpx's own types, so that one fake serves clients of both kinds."""
        sent = httpx.Request(
            request.method, request.url, headers=dict(request.headers), content=request.body
        )
        try:
            answer = self.handle_request(sent)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise UnreachedError(str(error) or "timed out") from error
        except httpx.HTTPError as error:
            raise UnansweredError(str(error) or type(error).__name__) from error
        return Answer(answer.status_code, dict(answer.headers), answer.read())
