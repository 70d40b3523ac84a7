"""Any system whose owner writes a program for it: static accounts, checked out and rotated.

``docs/connectors/script.md`` tells owners what the program must do.
"""
