"""Verification of an RFC 3161 time stamp: an authority saw these bytes, at the latest then.

The only part of the verifier with a library of its own (`rfc3161-client`, the extra `timestamp`):
it is needed only by who asks for stamps to be checked, and is loaded only then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509

if TYPE_CHECKING:  # not installed everywhere
    from rfc3161_client import TimeStampResponse

MAX_RESPONSE = 200_000
"""Largest answer of an authority, bytes; with a whole chain of certificates it has some 10,000."""


class TimestampError(ValueError):
    """The stamp does not hold, or cannot be checked here."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a stamp says.

    Attributes:
        at: When the authority saw the bytes.
        by: The subject of the certificate that signed.
    """

    at: datetime
    by: str


def check_timestamp(
    response: bytes, message: bytes, authority: bytes, *, nonce: int | None = None
) -> Stamp:
    """Check an answer against the bytes that were stamped and the authority's certificates.

    The certificates need to be valid at the time of the stamp, not now: a stamp outlives them.

    Args:
        response: DER of a ``TimeStampResp``.
        message: What was stamped.
        authority: PEM, one self-signed root at least; further certificates are intermediate ones.
        nonce: That of the request, by whoever made it.

    Raises:
        TimestampError: It is not this authority's, is about other bytes, or cannot be read.
    """
    try:
        import rfc3161_client as tsp  # noqa: PLC0415 -- an extra: see the module
    except ImportError as error:
        raise TimestampError(
            "time stamps cannot be checked here: rfc3161-client is not installed"
            " (pip install 'callpoint[timestamp]')"
        ) from error
    builder = tsp.VerifierBuilder()
    for certificate in read_certificates(authority):
        is_root = certificate.issuer == certificate.subject
        add = builder.add_root_certificate if is_root else builder.add_intermediate_certificate
        builder = add(certificate)
    if nonce is not None:
        builder = builder.nonce(nonce)
    answer = decode(response)
    try:
        builder.build().verify_message(answer, message)
    except (tsp.VerificationError, ValueError) as error:
        raise TimestampError(f"the time stamp does not hold: {error}") from error
    return Stamp(at=answer.tst_info.gen_time, by=_signer(answer))


def decode(response: bytes) -> "TimeStampResponse":
    """Read an answer that grants a stamp.

    Raises:
        TimestampError: It is none, or a refusal.
    """
    import rfc3161_client as tsp  # noqa: PLC0415 -- likewise

    if len(response) > MAX_RESPONSE:
        raise TimestampError(f"the time stamp has more than {MAX_RESPONSE} bytes")
    try:
        answer = tsp.decode_timestamp_response(response)
        status, words = answer.status, "; ".join(answer.status_string)
    except ValueError as error:
        raise TimestampError(f"this is no answer of a time-stamping authority: {error}") from error
    if status != tsp.PKIStatus.GRANTED:
        raise TimestampError(f"the authority refused to stamp (status {status}): {words}")
    return answer


def read_certificates(pem: bytes) -> Sequence[x509.Certificate]:
    """The certificates of an authority.

    Raises:
        TimestampError: They cannot be read, or no root is among them.
    """
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise TimestampError(f"the authority's certificates cannot be read: {error}") from error
    if not any(one.issuer == one.subject for one in found):
        raise TimestampError("among the authority's certificates there is no self-signed root")
    return found


def _signer(answer: "TimeStampResponse") -> str:
    """The subject of the signing certificate, for people; the library has checked it."""
    for info in answer.signed_data.signer_infos:
        for der in answer.signed_data.certificates:
            certificate = x509.load_der_x509_certificate(der)
            if (certificate.issuer, certificate.serial_number) == (info.issuer, info.serial_number):
                return certificate.subject.rfc4514_string()
    return ""
