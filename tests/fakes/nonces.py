"""A book of nonces in memory."""


class FakeNonceBook:
    """Implements ``ports.identity.NonceBook``; it never forgets.

    Attributes:
        spent: Pairs of key id and nonce, in the order in which they were first spent.
    """

    def __init__(self) -> None:
        self.spent: list[tuple[str, str]] = []

    async def spend(self, key_id: str, nonce: str) -> bool:
        if (key_id, nonce) in self.spent:
            return False
        self.spent.append((key_id, nonce))
        return True
