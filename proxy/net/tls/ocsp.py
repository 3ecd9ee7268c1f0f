"""Which OCSP response goes with a certificate, if any (`ocsp_staple_policy`; Envoy's `ServerContextImpl`)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography.x509 import ocsp

from proxy.config.tls import Certificate, StaplePolicy
from proxy.net.tls.certificate import CertificateFacts
from proxy.net.tls.context import TlsConfigError
from proxy.net.tls.stats import TlsStats

Now = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class Staple:
    """The response (DER) for a certificate, as far as there is one. Raises `TlsConfigError` for one that is none, or is
    another certificate's, and where there has to be one.
    """

    def __init__(self, certificate: Certificate, facts: CertificateFacts, policy: StaplePolicy) -> None:
        self.response = certificate.ocsp
        self.policy: StaplePolicy = "MUST_STAPLE" if facts.must_staple else policy
        self.good_until: datetime | None = None
        if self.response:
            self.good_until = good_until(self.response, facts)
        elif facts.must_staple:
            raise TlsConfigError(
                "ocsp_staple", "the certificate says that an OCSP response must come with it (RFC 7633)"
            )
        elif policy == "MUST_STAPLE":
            raise TlsConfigError("ocsp_staple", "ocsp_staple_policy is MUST_STAPLE, and there is no OCSP response")

    def choose(self, now: datetime) -> bytes | None:
        """What a client gets that has asked: the response, b"" for none, None if it may not come in without one."""
        if self.good_until is not None and now <= self.good_until:
            return self.response
        if self.policy == "MUST_STAPLE" or (self.policy == "STRICT_STAPLING" and self.response):
            return None
        return b""


def good_until(response: bytes, facts: CertificateFacts) -> datetime | None:
    """Until when this response (DER) may be used for the certificate; None: it does not say, so it never counts. Raises
    `TlsConfigError`.
    """
    answer = read(response)
    if answer.serial_number != facts.serial_number:
        raise TlsConfigError("ocsp_staple", "the OCSP response is for another certificate")
    return answer.next_update


class Answer(NamedTuple):
    """What an OCSP response says of the certificate with this number."""

    serial_number: int
    this_update: datetime
    next_update: datetime | None


def read(response: bytes) -> Answer:
    """Raises `TlsConfigError`."""
    try:
        parsed = ocsp.load_der_ocsp_response(response)
    except ValueError as error:
        raise TlsConfigError("ocsp_staple", f"this is no OCSP response (DER): {error}") from None
    if parsed.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        status = parsed.response_status.name
        raise TlsConfigError("ocsp_staple", f"the OCSP responder had no answer: {status}")
    answers = list(parsed.responses)
    if len(answers) != 1:
        raise TlsConfigError("ocsp_staple", f"the OCSP response is about {len(answers)} certificates instead of one")
    return Answer(answers[0].serial_number, answers[0].this_update_utc, answers[0].next_update_utc)


class Stapler:
    """The responses of a context's certificates, by the certificate (DER); counts what comes of them."""

    def __init__(self, stats: TlsStats, now: Now = _now) -> None:
        self._stats = stats
        self._now = now
        self._staples: dict[bytes, Staple] = {}

    def add(self, facts: CertificateFacts, staple: Staple) -> None:
        self._staples[facts.der] = staple

    def __call__(self, certificate: bytes) -> bytes | None:
        """For `libssl_ocsp`: a client has asked what is known of this certificate of ours."""
        stats = self._stats
        stats.ocsp_staple_requests.inc()
        staple = self._staples.get(certificate)
        response = b"" if staple is None else staple.choose(self._now())
        if response:
            stats.ocsp_staple_responses.inc()
        elif response is None:
            stats.ocsp_staple_failed.inc()
        else:
            stats.ocsp_staple_omitted.inc()
        return response
