"""Who is calling: one file per way to prove it."""
