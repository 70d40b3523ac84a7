"""PostgreSQL: dedicated login roles, made and unmade by functions that the owner installed.

``connector`` implements the port; ``docs/connectors/postgresql.md`` tells owners what to do and
what is proven.
"""
