"""Every check, by the name under which a diagnosis says that it looked.

A connector needs none of its own: what its selftest finds is a symptom already. A worker adds the
function that judges what it leaves behind, and one line here.
"""

from collections.abc import Callable, Iterator, Mapping

from callpoint.lifecycle.symptoms.clock import check_clocks
from callpoint.lifecycle.symptoms.epoch import check_epoch
from callpoint.lifecycle.symptoms.incident import check_incidents, check_sources
from callpoint.lifecycle.symptoms.lease import check_leases
from callpoint.lifecycle.symptoms.log import check_log
from callpoint.lifecycle.symptoms.node import check_node
from callpoint.lifecycle.symptoms.observed import Observed
from callpoint.lifecycle.symptoms.quorum import check_quorums, check_requests
from callpoint.lifecycle.symptoms.review import check_reviews
from callpoint.lifecycle.symptoms.rules import check_rows, check_rules
from callpoint.lifecycle.symptoms.session import check_sessions
from callpoint.lifecycle.symptoms.signals import check_signals
from callpoint.lifecycle.symptoms.symptom import Symptom
from callpoint.lifecycle.symptoms.target import check_targets
from callpoint.lifecycle.symptoms.witness import check_witnesses

Check = Callable[[Observed], Iterator[Symptom]]
"""Pure: the same facts give the same symptoms."""

CHECKS: Mapping[str, Check] = {
    "leases": check_leases,
    "targets": check_targets,
    "epoch": check_epoch,
    "requests": check_requests,
    "quorums": check_quorums,
    "incident sources": check_sources,
    "incidents": check_incidents,
    "clocks": check_clocks,
    "log": check_log,
    "witnesses": check_witnesses,
    "sessions": check_sessions,
    "signals": check_signals,
    "kills without the store": check_node,
    "rules": check_rules,
    "rows": check_rows,
    "reviews": check_reviews,
}
