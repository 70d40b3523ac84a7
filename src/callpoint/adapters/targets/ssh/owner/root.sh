# The broker logs in as root: the forced command of its key is all that holds it. PermitRootLogin must
# be "prohibit-password" or "forced-commands-only". Your own keys of root stay as they are.
