"""What one node keeps for the time without the store."""
