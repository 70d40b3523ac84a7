# The broker logs in as root: sshd's forced command is all that holds it (PermitRootLogin must be
# "forced-commands-only" or "prohibit-password").
