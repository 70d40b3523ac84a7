# The broker's account: no password, no file of its own that could let somebody in.
id '{{broker}}' >/dev/null 2>&1 ||
    useradd --system --home-dir /nonexistent --no-create-home --shell /bin/sh --password '*' \
        '{{broker}}'
command -v sudo >/dev/null || { echo "sudo is missing; install it, or use broker = \"root\"" >&2; exit 1; }
put /etc/sudoers.d/callpoint-{{installation}} 0440 <<'CALLPOINT_FILE_END'
# The address that the broker is seen from: it goes into the certificate that proves an end.
Defaults:{{broker}} env_keep += "SSH_CONNECTION"
{{broker}} ALL=(root) NOPASSWD: {{serve}}
CALLPOINT_FILE_END
