"""Who plays, and the configuration that their governors sign."""

import hashlib

PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank", "gina", "hugo")
GOVERNORS = ("gina", "hugo")
ON_CALL, COMMANDERS, SECURITY = ("alice", "bob"), ("bob", "carol", "dave"), ("erin", "frank")

TARGET, HOST = "orders-db", "worker-host"
HOST_ELIGIBILITY, HOST_SERVICE = "worker-repair", "worker"
CA_KEY_VARIABLE, BROKER_KEY_VARIABLE = "WORKER_CA_KEY", "WORKER_BROKER_KEY"
ELIGIBILITY = "orders-repair"
DSN_VARIABLE = "ORDERS_BROKER_DSN"
WEBHOOK_TOKEN = "token-of-the-demo"  # noqa: S105 -- belongs to a server that lives half a minute

_CONFIGURATION = """\
[governance]
quorum = 2
security = ["group:security"]
[governance.governors]
{governors}

[groups]
sre-oncall = {{ members = {on_call} }}
incident-commanders = {{ members = {commanders} }}
security = {{ members = {security} }}

[persons]
{persons}

[principals]
{principals}

[gateways.orders-gateway]
protocol = "postgresql"
advertise_host = "127.0.0.1"
advertise_port = {gateway_port}
sslmode = "disable"

[targets.orders-db]
connector = "postgresql"
gateway = "orders-gateway"
dsn = {{ env = "ORDERS_BROKER_DSN" }}
environment = "production"
databases = ["orders"]
roles.repair = {{ parent = "orders_repair" }}

[eligibilities.orders-repair]
lane = "break-glass"
mode = "human"
who = ["group:sre-oncall"]
opens = ["orders-db:repair"]
for = "30m"
incident = {{ severity = ["sev1", "sev2"], must_name_target = true }}
approval = {{ quorum = 2, from = ["group:incident-commanders"], within = "10m" }}
budget = {{ incidents = 1, per = "90d" }}
review = {{ by = ["group:security"], triage = "24h", close = "5d" }}

[sources.alertmanager]
kind = "alertmanager"
token_sha256 = "{token_sha256}"
severity = {{ critical = "sev1" }}
targets = {{ orders = ["orders-db"]{host_service} }}
"""

LISTENER = """
[gateway.postgresql]
name = "orders-gateway"
listen = "127.0.0.1:{port}"
"""
"""Of ``server.toml``: the gateway runs inside the server, on this machine only."""

HOST_TARGET = """
[targets.worker-host]
connector = "ssh"
host = "127.0.0.1"
port = {port}
host_key = ["{host_key}"]
ca_key = {{ env = "WORKER_CA_KEY" }}
broker_key = {{ env = "WORKER_BROKER_KEY" }}
broker = "{account}"
program = "{program}"
environment = "production"
roles.repair = {{ account = "{account}", command = "{tool}" }}
"""
"""The second target, on a machine that can play a host."""

_HOST_ELIGIBILITY = """
[eligibilities.worker-repair]
lane = "break-glass"
mode = "human"
who = ["group:sre-oncall"]
opens = ["worker-host:repair"]
for = "30m"
incident = { severity = ["sev1", "sev2"], must_name_target = true }
approval = { quorum = 2, from = ["group:incident-commanders"], within = "10m" }
budget = { incidents = 1, per = "90d" }
review = { by = ["group:security"], triage = "24h", close = "5d" }
"""


def configuration(public_keys: dict[str, str], gateway_port: int, host: str = "") -> str:
    """The governed file.

    Args:
        public_keys: Of everybody in ``PEOPLE``, base64.
        gateway_port: Where the gateway answers, on this machine.
        host: ``HOST_TARGET`` with its places filled in; empty without a host.
    """
    text = _CONFIGURATION.format(
        governors="\n".join(f'{name} = "{public_keys[name]}"' for name in GOVERNORS),
        on_call=_listed(ON_CALL),
        commanders=_listed(COMMANDERS),
        security=_listed(SECURITY),
        persons="\n".join(f"{name} = {{}}" for name in PEOPLE),
        principals="\n".join(
            f'{name} = {{ kind = "human", person = "{name}", key = "{public_keys[name]}" }}'
            for name in PEOPLE
        ),
        gateway_port=gateway_port,
        token_sha256=hashlib.sha256(WEBHOOK_TOKEN.encode()).hexdigest(),
        host_service=f', {HOST_SERVICE} = ["{HOST}"]' if host else "",
    )
    return text + host + _HOST_ELIGIBILITY if host else text


def _listed(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


ORDERS = """\
CREATE ROLE orders_broker LOGIN NOINHERIT PASSWORD '{password}';
CREATE ROLE orders_repair NOLOGIN;
CREATE TABLE orders (id int PRIMARY KEY, state text NOT NULL);
INSERT INTO orders SELECT n, 'stuck' FROM generate_series(1, 100) n;
CREATE TABLE customers (id int PRIMARY KEY, card text NOT NULL);
INSERT INTO customers VALUES (1, 'not for repairs');
GRANT SELECT, UPDATE ON orders TO orders_repair;
"""
"""What the database's owner had before: a role for repairs may update orders, and nothing else."""
