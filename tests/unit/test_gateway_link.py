"""A connection of the PostgreSQL gateway, without a network."""

import asyncio

from callpoint.gateways.postgres.link import Link


class ClosedSocket:
    """As uvloop shows one that it has closed: every call is a ValueError."""

    def setsockopt(self, *_: object) -> None:
        raise ValueError("I/O operation on closed socket")


class Leaving(asyncio.Transport):
    """A transport whose socket the loop has closed, and which nobody has aborted yet."""

    def __init__(self) -> None:
        super().__init__({"socket": ClosedSocket()})
        self.is_aborted = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def abort(self) -> None:
        self.is_aborted = True


def test_a_client_who_has_just_left_is_reset_without_an_error():
    """What is cut after it goes on being cut: the target's side comes next."""
    link, transport = Link(), Leaving()
    link.connection_made(transport)
    link.reset()
    assert transport.is_aborted
