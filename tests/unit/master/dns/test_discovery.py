import random

import pytest

from master.dns.discovery import addresses, alike, found_in, localities, refresh_after, targets
from proxy.config.cluster import Dns, DnsEndpoint, DnsLocality, Host, LocalityHosts
from proxy.config.common import SocketAddress
from proxy.dns.result import Answer, Failed, Failure, Resolved

DNS = Dns(
    localities=(
        DnsLocality(
            priority=1,
            endpoints=(DnsEndpoint("a.example", 80, weight=3), DnsEndpoint("b.example", 81, hostname="shown")),
            region="eu",
            zone="eu-1",
            sub_zone="x",
            weight=7,
        ),
        DnsLocality(priority=0, endpoints=(DnsEndpoint("a.example", 80),)),
    )
)
TWO = Resolved((Answer("10.0.0.1", 30), Answer("fd00::1", 20), Answer("10.0.0.1", 10)))


def test_every_endpoint_is_looked_up_on_its_own() -> None:
    assert {target: endpoint.name for target, endpoint in targets(DNS).items()} == {
        (0, 0): "a.example",
        (0, 1): "b.example",
        (1, 0): "a.example",
    }


def test_every_address_counts_once() -> None:
    assert addresses("STRICT_DNS", TWO) == addresses("LOGICAL_DNS", TWO) == ("10.0.0.1", "fd00::1")


def test_rotated_addresses_are_news_for_logical_dns_alone() -> None:
    assert alike("STRICT_DNS", ("a", "b"), ("b", "a"))
    assert not alike("LOGICAL_DNS", ("a", "b"), ("b", "a"))
    assert alike("LOGICAL_DNS", ("a", "b"), ("a", "b"))


def test_an_empty_answer_means_no_hosts_for_strict_dns_alone() -> None:
    assert addresses("STRICT_DNS", Resolved()) == ()
    assert addresses("LOGICAL_DNS", Resolved()) is None
    assert addresses("STRICT_DNS", Failed(Failure.TIMEOUT)) is None


def test_hosts_have_the_whole_weight_of_their_endpoint() -> None:
    slots = {"10.0.0.1:80": 5, "[fd00::1]:80": 6, "10.0.0.2:81": 7}
    found = {(0, 0): ("10.0.0.1", "fd00::1"), (0, 1): ("10.0.0.2",)}
    assert localities(DNS, "STRICT_DNS", found, slots.__getitem__) == (
        LocalityHosts(
            priority=1,
            hosts=(
                Host(5, SocketAddress("10.0.0.1", 80), "a.example", 3),
                Host(6, SocketAddress("fd00::1", 80), "a.example", 3),
                Host(7, SocketAddress("10.0.0.2", 81), "shown", 1),
            ),
            region="eu",
            zone="eu-1",
            sub_zone="x",
            weight=7,
        ),
        LocalityHosts(priority=0, hosts=()),
    )


def test_what_was_found_is_found_again() -> None:
    found = {(0, 0): ("10.0.0.1", "fd00::1"), (0, 1): ("10.0.0.2",), (1, 0): ("10.0.0.1",)}
    assert found_in(DNS, localities(DNS, "STRICT_DNS", found, lambda _: 0)) == found
    assert found_in(DNS, ()) == {}
    assert found_in(DNS, localities(DNS, "STRICT_DNS", {}, lambda _: 0)) == {}


def test_logical_dns_has_one_host_at_all_addresses_and_priority_0() -> None:
    found = {(0, 0): ("10.0.0.1", "fd00::1")}
    (locality, _) = localities(DNS, "LOGICAL_DNS", found, lambda _: 0)
    assert locality.priority == 0
    first, second = SocketAddress("10.0.0.1", 80), SocketAddress("fd00::1", 80)
    assert locality.hosts == (Host(0, first, "a.example", 3, additional=(second,)),)
    assert found_in(DNS, localities(DNS, "LOGICAL_DNS", found, lambda _: 0)) == found


@pytest.mark.parametrize(
    ("respect_ttl", "kind", "ttls", "expected"),
    [
        (False, "STRICT_DNS", [1], 5.0),
        (True, "STRICT_DNS", [30, 20], 20.0),
        (True, "STRICT_DNS", [30, 0], 5.0),
        (True, "STRICT_DNS", [], 5.0),
        (True, "LOGICAL_DNS", [30, 20], 30.0),
    ],
)
def test_when_to_refresh(respect_ttl: bool, kind: str, ttls: list[int], expected: float) -> None:
    result = Resolved(tuple(Answer(f"10.0.0.{number}", ttl) for number, ttl in enumerate(ttls)))
    dns = Dns(localities=(), respect_ttl=respect_ttl)
    cluster_type = "LOGICAL_DNS" if kind == "LOGICAL_DNS" else "STRICT_DNS"
    assert refresh_after(dns, cluster_type, result, random.Random(1)) == expected


def test_jitter_comes_on_top_of_either_rate() -> None:
    rng = random.Random(1)
    for dns, least in ((Dns((), jitter=2.0), 5.0), (Dns((), jitter=2.0, respect_ttl=True), 30.0)):
        after = [refresh_after(dns, "STRICT_DNS", Resolved((Answer("10.0.0.1", 30),)), rng) for _ in range(300)]
        assert least <= min(after) < least + 0.1
        assert least + 1.9 < max(after) < least + 2.0
