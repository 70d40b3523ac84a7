"""What people write in files, turned into typed values: every key, limit and default is here.

Two kinds of file: the governed configuration (``callpoint.toml``, policies), which enters a signed
bundle, and the settings of one process (``server.toml``), which do not.
"""
