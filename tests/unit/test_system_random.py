"""Randomness of the machine: salts come out of a stock, and none comes twice."""

import os
from concurrent.futures import ThreadPoolExecutor

from callpoint.adapters.clock.system import SystemRandom

SALT = 16


def test_no_salt_comes_twice_whoever_asks():
    """Several threads that draw through several stocks get different bytes, each of its length."""
    made = SystemRandom()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: made.token(SALT), range(2_000)))
    assert len(set(found)) == len(found)
    assert {len(one) for one in found} == {SALT}
    assert len(made.token(24)) == 24


def test_a_child_does_not_go_on_with_its_parents_stock():
    """After a fork both draw from stocks of their own."""
    made = SystemRandom()
    made.token(SALT)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, made.token(SALT))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        assert told.read() != made.token(SALT)
    os.waitpid(child, 0)
