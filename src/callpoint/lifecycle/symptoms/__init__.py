"""What can be wrong: one file per subject, each a function from what was seen to symptoms."""
