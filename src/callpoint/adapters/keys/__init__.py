"""Where private keys are kept; one file per kind of keeper."""
