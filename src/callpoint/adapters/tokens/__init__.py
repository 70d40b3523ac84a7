"""Tokens and proofs."""
