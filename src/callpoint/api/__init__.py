"""The HTTP API: thin controllers over the steps of ``lifecycle``; ``messages`` is its contract."""
