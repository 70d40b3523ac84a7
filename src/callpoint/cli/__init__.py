"""The command line: a client of the API, plus `serve`, `demo` and offline `verify`."""
