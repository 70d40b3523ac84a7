"""Past decisions, decided again: by the policy of their time, and by one that is proposed."""
