"""Validation contexts that are merged, and the TLS contexts of a configuration."""

from __future__ import annotations

from proxy.config.common import StringMatcher
from proxy.config.secrets import combine, contexts
from proxy.config.tls import DownstreamTls, SanMatcher, UpstreamTls, Validation

A, B = (SanMatcher("DNS", StringMatcher("exact", value)) for value in "ab")


def test_what_the_secret_says_counts_and_lists_grow() -> None:
    default = Validation(trusted_ca=b"old", path="old.pem", sans=(A,), hashes=(b"1",), max_verify_depth=4)
    found = Validation(trusted_ca=b"new", path="new.pem", name="ca", sans=(B,), allow_expired_certificate=True)
    assert combine(default, found) == Validation(
        trusted_ca=b"new", path="new.pem", name="ca", sans=(A, B), hashes=(b"1",), max_verify_depth=4,
        allow_expired_certificate=True,
    )  # fmt: skip


def test_what_the_secret_does_not_say_stays() -> None:
    default = Validation(trusted_ca=b"old", path="old.pem", crl=b"list", accept_untrusted=True)
    assert combine(default, Validation(name="ca")) == Validation(
        trusted_ca=b"old", path="old.pem", crl=b"list", accept_untrusted=True, name="ca"
    )
    assert combine(Validation(), Validation(max_verify_depth=0)).max_verify_depth == 0


def test_contexts_are_found_wherever_they_are() -> None:
    one, other = DownstreamTls(()), UpstreamTls(sni="a")
    assert list(contexts((one, ("x", other), None))) == [one, other]
