"""Whether a peer's certificate will do (`CertificateValidationContext`; Envoy's `DefaultCertValidator`).

OpenSSL asks in the middle of a handshake, so that a peer that will not do gets the alert that says why.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from proxy.config.tls import SanMatcher, Validation
from proxy.net.tls import libssl
from proxy.net.tls.certificate import CertificateFacts, matches_dns
from proxy.net.tls.stats import TlsStats
from proxy.route.matcher import compile_string

_CHAIN_FAILED = "verify cert failed: X509_verify_cert: certificate verification error"
_LISTED = "certificate revocation check against provided CRLs failed: "
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED


class Expected(NamedTuple):
    """What the certificate of one connection has to be, besides what the configuration says: it has one of `sans`
    (`verify_subject_alt_name_list` of Envoy's transport socket options), and it is for the DNS name `name`, which then
    counts in place of the configuration's names. "" and () ask for nothing.
    """

    sans: tuple[str, ...] = ()
    name: str = ""


ANYBODY = Expected()

_OF_LISTS = frozenset({3, 12, 23})  # X509_V_ERR_UNABLE_TO_GET_CRL, CRL_HAS_EXPIRED, CERT_REVOKED

MatchesName = Callable[[CertificateFacts], bool]


class Verifier:
    """One for all handshakes of a context: they run one at a time, and each asks at most once.

    What is known is of the last handshake that asked. `validated`: the chain is trusted and the names are right.
    `reason` is what was wrong, "" while nothing is; `code` OpenSSL's number for it, `what` our name for what is no
    matter of the chain ("name", "pin"). `presented` are the certificates (DER) of a peer that will not do, its
    own first.
    """

    def __init__(self, validation: Validation, stats: TlsStats) -> None:
        self._validation = validation
        self._stats = stats
        self._sans = [_compile_san(matcher) for matcher in validation.sans]
        self.begin()

    def begin(self, expected: Expected = ANYBODY) -> None:
        """A step of a handshake comes: what is known is of another one."""
        self._expected = expected
        self.validated, self.reason, self.what, self.code = False, "", "", 0
        self.presented: tuple[bytes, ...] = ()

    def __call__(self, store: int, _: int = 0) -> int:
        """OpenSSL's `cert_verify_callback`: 1 to go on."""
        code = 0
        if self._validation.trusted_ca:
            code, depth, words = libssl.verify_chain(store)
            if code:
                self.code = code
                listed = _LISTED if code in _OF_LISTS else ""
                self.reason = f"{_CHAIN_FAILED} at depth {depth}: {listed}{words}"
                self._stats.fail_verify_error.inc()
            else:
                self.validated = True
        if not code:
            try:
                self._judge_leaf(CertificateFacts(libssl.leaf(store)))
            except ValueError as error:
                self.reason = f"verify cert failed: the certificate cannot be read: {error}"
                self._stats.fail_verify_error.inc()
            code = libssl.ERROR_APPLICATION_VERIFICATION if self.reason else 0
        if self.reason:
            self.validated = False
            self.presented = libssl.presented(store)
            if not self._validation.accept_untrusted:
                libssl.set_verify_error(store, code)
                return 0
        libssl.set_verify_error(store, 0)
        return 1

    def judge_resumed(self, der: bytes, expected: Expected = ANYBODY) -> bool:
        """The same for the certificate that a resumed session remembers: its chain was looked at when the session
        began, under the same trust (the session's keys say so); what may have changed is the time.
        """
        self.begin(expected)
        self.presented = (der,)
        facts = CertificateFacts(der)
        if self._validation.trusted_ca:
            self.validated = True
            now = datetime.now(UTC)
            if not self._validation.allow_expired_certificate and not facts.begins <= now <= facts.expires:
                self.reason = "verify cert failed: the certificate of a resumed session has expired"
                self.code = _EXPIRED
                self._stats.fail_verify_error.inc()
        if not self.reason:
            self._judge_leaf(facts)
        self.validated = self.validated and not self.reason
        return not self.reason or self._validation.accept_untrusted

    def _judge_leaf(self, facts: CertificateFacts) -> None:
        validation, expected = self._validation, self._expected
        listed = ", ".join(value for _, value in facts.sans)
        if expected.sans:
            if not any(_is_for(kind, value, wanted) for kind, value in facts.sans for wanted in expected.sans):
                self.reason = (
                    f"verify cert failed: verify SAN list, expected SANs: [{', '.join(expected.sans)}], "
                    f"certificate SANs: [{listed}]"
                )
                self.what = "name"
                self._stats.fail_verify_san.inc()
                return
            self.validated = True
        if self._sans or expected.name:
            if not self._is_named(facts):
                self.reason = f"verify cert failed: SAN matcher, certificate SANs are [{listed}]"
                self.what = "name"
                self._stats.fail_verify_san.inc()
                return
            self.validated = True
        if validation.hashes or validation.spki:
            if facts.sha256 not in validation.hashes and facts.spki not in validation.spki:
                self.reason = "verify cert failed: cert hash and spki"
                self.what = "pin"
                self._stats.fail_verify_cert_hash.inc()
                return
            self.validated = True

    def _is_named(self, facts: CertificateFacts) -> bool:
        """A request's own names go before the one that was sent (`DefaultCertValidator::verifyCertAndUpdateStatus`)."""
        name = "" if self._expected.sans else self._expected.name
        if name:
            return any(matches_dns(name, pattern) for pattern in facts.names("DNS"))
        return not self._sans or any(matches(facts) for matches in self._sans)


def _is_for(kind: str, value: str, wanted: str) -> bool:
    return matches_dns(wanted, value) if kind == "DNS" else wanted == value


def _compile_san(matcher: SanMatcher) -> MatchesName:
    """An exact DNS name is one that the certificate's wildcards may stand for, too."""
    kind, wanted = matcher.kind, matcher.matcher
    if kind == "DNS" and wanted.kind == "exact":
        return lambda facts: any(matches_dns(wanted.value, name) for name in facts.names("DNS"))
    matches = compile_string(wanted)
    return lambda facts: any(matches(name.encode()) for name in facts.names(kind))
