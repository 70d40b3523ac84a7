"""What an outsider gets: evidence that needs no trust in us."""
