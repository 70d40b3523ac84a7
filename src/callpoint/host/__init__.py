"""What an SSH host runs so that Callpoint can admit, end and prove: the host side.

It stands alone: the standard library of Python 3.9, no package of Callpoint's beside this one, no
store, no secret. ``callpoint target prepare`` prints it for the owner as readable files.

``admission`` says who is let in (sshd reads what it writes), ``sessions`` finds and ends what a
certificate opened, ``snapshot`` tells what a use left behind, ``serve`` answers the broker,
``reaper`` ends what is due when nobody asks, ``wrapper`` runs one session until its end.
``docs/connectors/ssh.md`` tells owners what is done and what remains.
"""
