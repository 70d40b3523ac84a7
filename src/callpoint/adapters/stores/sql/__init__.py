"""What both databases share: rows, views, the one writer and the log that it extends.

A database comes in as a ``connection.Connection``. SQL is written once, with ``?`` for parameters,
and keeps to what SQLite 3.40 and PostgreSQL 15 read alike; times are text whose order is theirs.
"""
