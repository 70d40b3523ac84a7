# Compiled once: the program starts with each session and each question of the broker.
{{python}} -m compileall -q {{library}}

# The files that sshd is told of exist before it is told. They admit nobody.
{{program}} prepare --config {{config}}

# OpenSSH 9.8 and newer lets in less whoever fails: but the proof of an end is a failed login.
if [ -n '{{exempt}}' ] && {{sshd}} -T 2>/dev/null | grep -q '^persourcepenaltyexemptlist'; then
    sed -i '1i PerSourcePenaltyExemptList {{exempt}}' {{drop_in}}
fi

grep -Eqi '^[[:space:]]*Include[[:space:]]+/etc/ssh/sshd_config\.d/' /etc/ssh/sshd_config ||
    { echo "add to the top of /etc/ssh/sshd_config: Include /etc/ssh/sshd_config.d/*.conf" >&2; exit 1; }
{{sshd}} -t || { echo "sshd refuses its configuration: see {{drop_in}}" >&2; exit 1; }

if [ -d /run/systemd/system ]; then
    put /etc/systemd/system/callpoint-reap-{{installation}}.service 0644 <<'CALLPOINT_FILE_END'
[Unit]
Description=Callpoint: end SSH access that is past its time

[Service]
Type=oneshot
ExecStart={{program}} reap --config {{config}}
CALLPOINT_FILE_END
    put /etc/systemd/system/callpoint-reap-{{installation}}.timer 0644 <<'CALLPOINT_FILE_END'
[Unit]
Description=Callpoint: end SSH access that is past its time

[Timer]
OnBootSec=5
OnUnitActiveSec={{seconds}}
AccuracySec=1

[Install]
WantedBy=timers.target
CALLPOINT_FILE_END
    systemctl daemon-reload
    systemctl enable --now callpoint-reap-{{installation}}.timer
    systemctl try-reload-or-restart ssh.service sshd.service 2>/dev/null || true
else
    echo "no systemd: run this each minute as root (cron):"
    echo "  * * * * *  root  {{program}} reap --config {{config}}"
    echo "and reload sshd."
fi
echo "done; next: callpoint target selftest {{name}}"
