#!/bin/sh
# Callpoint: what the owner of the host {{name}} installs.
# For installation {{installation}}, accounts: {{accounts}}. Read it, then run it as root.
# It may be run again at any time. It names no secret: of all keys only the public half is here.
#
# What it writes, and nothing else:
#   {{library}}/callpoint/host/*.py   the host side: Python 3.9 or newer, standard library only
#   {{program}}                       starts it
#   {{etc}}/                          your decisions: host.json, and two public keys
#   {{state}}/                        who is admitted and who is revoked; only the host side writes
#   {{drop_in}}
#   /etc/sudoers.d/callpoint-{{installation}}, unless the broker logs in as root
#   /etc/systemd/system/callpoint-reap-{{installation}}.{service,timer}
set -eu
umask 022

[ "$(id -u)" -eq 0 ] || { echo "run this as root" >&2; exit 1; }
for account in {{accounts}}; do
    id "$account" >/dev/null 2>&1 || { echo "there is no account $account" >&2; exit 1; }
done
{{python}} -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
    { echo "{{python}} is older than 3.9" >&2; exit 1; }

# put PATH MODE: replaces the file by what comes on stdin, or leaves it as it was.
put() {
    mkdir -p "$(dirname "$1")"
    cat >"$1.new"
    chmod "$2" "$1.new"
    mv "$1.new" "$1"
}
