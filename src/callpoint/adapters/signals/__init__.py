"""Security event tokens, and the way to who is told."""
