"""The background loops of a process: what time does, comparison with targets, forgetting nonces."""
