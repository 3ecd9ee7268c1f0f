"""Which response goes out with a certificate, and what is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from proxy.config.tls import Certificate, StaplePolicy
from proxy.net.tls.certificate import CertificateFacts
from proxy.net.tls.context import TlsConfigError
from proxy.net.tls.ocsp import Staple, Stapler
from proxy.net.tls.stats import TlsStats
from proxy.stats import MemoryStats
from tests.integration.tls.terminating import authority
from tests.kit import ocsp
from tests.kit.certificates import Pair

PAIR = authority().issue("a.test")
RESPONSE = ocsp.response(PAIR, authority().pair)  # for a day
ENDLESS = ocsp.response(PAIR, authority().pair, days=None)
NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=2)


def staple(response: bytes, policy: StaplePolicy = "LENIENT_STAPLING", pair: Pair = PAIR) -> Staple:
    certificate = Certificate(pair.chain.encode(), pair.key.encode(), ocsp=response)
    return Staple(certificate, CertificateFacts(pair.der), policy)


@pytest.mark.parametrize(
    ("policy", "late"), [("LENIENT_STAPLING", b""), ("STRICT_STAPLING", None), ("MUST_STAPLE", None)]
)
def test_a_response_is_good_for_its_time(policy: StaplePolicy, late: bytes | None) -> None:
    assert staple(RESPONSE, policy).choose(NOW) == RESPONSE
    assert staple(RESPONSE, policy).choose(LATER) == late
    assert staple(ENDLESS, policy).choose(NOW) == late


def test_without_a_response() -> None:
    assert staple(b"").choose(NOW) == staple(b"", "STRICT_STAPLING").choose(NOW) == b""
    with pytest.raises(TlsConfigError, match="MUST_STAPLE"):
        staple(b"", "MUST_STAPLE")


def test_a_certificate_that_demands_one() -> None:
    pair = authority().issue("a.test", must_staple=True)
    assert staple(ocsp.response(pair, authority().pair), pair=pair).choose(LATER) is None
    with pytest.raises(TlsConfigError, match="RFC 7633"):
        staple(b"", pair=pair)


def test_what_is_counted() -> None:
    moment = NOW
    stats = MemoryStats()
    stapler = Stapler(TlsStats(stats, ""), lambda: moment)
    stapler.add(CertificateFacts(PAIR.der), staple(RESPONSE, "STRICT_STAPLING"))
    assert stapler(PAIR.der) == RESPONSE
    assert stapler(b"another") == b""
    moment = LATER
    assert stapler(PAIR.der) is None
    counted = {name: stats.value(f"ssl.ocsp_staple_{name}") for name in ("requests", "responses", "omitted", "failed")}
    assert counted == {"requests": 3, "responses": 1, "omitted": 1, "failed": 1}
