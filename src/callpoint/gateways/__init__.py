"""What stands between an actor and a target while an activation is used.

So far only the classification of SQL is here (``postgres.sql``); nothing uses it yet.
"""
