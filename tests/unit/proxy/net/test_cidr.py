"""Addresses and their ranges, against the standard library's slower ones."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.net.cidr import CidrRanges, parse_ip

IPS = st.ip_addresses().map(str)


@given(IPS, IPS, st.integers(0, 128))
def test_ranges(host: str, network: str, length: int) -> None:
    length = min(length, ipaddress.ip_address(network).max_prefixlen)
    expected = ipaddress.ip_address(host) in ipaddress.ip_network(f"{network}/{length}", strict=False)
    assert (host in CidrRanges([f"{network}/{length}"])) is expected


@given(st.one_of(IPS, st.text(max_size=40)))
def test_parsing(text: str) -> None:
    try:
        expected = ipaddress.ip_address(text)
    except ValueError:
        if "%" not in text:  # a scope, which ipaddress takes and we do not
            assert parse_ip(text) is None or "::ffff:" in text
    else:
        if "%" not in text:
            found = parse_ip(text)
            assert found is not None
            assert ipaddress.ip_address(found) == expected


def test_a_prefix_longer_than_the_address_is_the_address() -> None:
    assert "10.0.0.1" in CidrRanges(["10.0.0.1/99"])
    assert "10.0.0.2" not in CidrRanges(["10.0.0.1/99"])


def test_nothing_is_in_no_range() -> None:
    assert not CidrRanges([])
    assert "10.0.0.1" not in CidrRanges([])
    with pytest.raises(ValueError, match="not a range"):
        CidrRanges(["x/8"])
