"""The transparency log: Merkle tree, tiles, notes, entries, and a verifier that stands alone."""
