"""SSH: a certificate per activation, admitted by name on the host, and its proven end.

``connector`` implements the port; ``callpoint.host`` is what runs on the host;
``docs/connectors/ssh.md`` tells owners what to do and what is proven.
"""
