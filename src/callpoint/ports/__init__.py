"""Typed protocols for the outside; each method says what it guarantees and who retries."""
