"""The verifier that stands alone: whole logs and evidence bundles, offline, from bytes.

It imports nothing of Callpoint but the log's arithmetic (`merkle`, `note`, `checkpoint`, `entry`,
`cosignature`, `proof_file`), so an outsider can read all that its verdict depends on.
``python -m callpoint.audit.verify`` runs it on files. What it checks is specified in
``docs/audit-log-format.md``.
"""

from callpoint.audit.verify.bundle import verify_bundle
from callpoint.audit.verify.proof import verify_proof
from callpoint.audit.verify.readable import verify_document
from callpoint.audit.verify.report import Code, Finding, Report
from callpoint.audit.verify.whole_log import verify_log

__all__ = [
    "Code",
    "Finding",
    "Report",
    "verify_bundle",
    "verify_document",
    "verify_log",
    "verify_proof",
]
