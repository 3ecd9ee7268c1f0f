"""Which filter chain a connection gets: Envoy's order of questions, the most specific answer, and no way back."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.config.common import PipeAddress, SocketAddress
from proxy.config.listener import ChainMatch
from proxy.net.chain_match import Arrival, ChainTree, SameRules

HERE, THERE = SocketAddress("10.0.0.1", 443), SocketAddress("192.0.2.7", 5000)


def chosen(*matches: dict[str, Any], local: Any = HERE, remote: Any = THERE, **arrival: Any) -> int | None:
    return ChainTree([ChainMatch(**match) for match in matches]).find(Arrival(local, remote, **arrival))


def test_without_rules() -> None:
    assert chosen({}) == 0
    assert chosen() is None


@pytest.mark.parametrize(
    ("match", "arrival", "found"),
    [
        ({"destination_port": 443}, {}, True),
        ({"destination_port": 444}, {}, False),
        ({"prefix_ranges": ("10.0.0.0/8",)}, {}, True),
        ({"prefix_ranges": ("11.0.0.0/8", "10.0.0.1/32")}, {}, True),
        ({"prefix_ranges": ("fd00::/8",)}, {}, False),
        ({"server_names": ("a.test",)}, {"server_name": "a.test"}, True),
        ({"server_names": ("A.test",)}, {"server_name": "a.test"}, True),
        ({"server_names": ("*.test",)}, {"server_name": "b.a.test"}, True),
        ({"server_names": ("*.test",)}, {"server_name": "test"}, False),
        ({"server_names": ("a.test",)}, {}, False),
        ({"transport_protocol": "tls"}, {"transport": "tls"}, True),
        ({"transport_protocol": "raw_buffer"}, {}, True),
        ({"transport_protocol": "raw_buffer"}, {"transport": "tls"}, False),
        ({"application_protocols": ("h2",)}, {"applications": ("x", "h2")}, True),
        ({"application_protocols": ("h2",)}, {"applications": ()}, False),
        ({"direct_source_prefix_ranges": ("192.0.2.0/24",)}, {}, True),
        ({"source_prefix_ranges": ("192.0.2.8/32",)}, {}, False),
        ({"source_ports": (4999, 5000)}, {}, True),
        ({"source_ports": (4999,)}, {}, False),
        ({"source_type": "EXTERNAL"}, {}, True),
        ({"source_type": "SAME_IP_OR_LOOPBACK"}, {}, False),
        ({"source_type": "SAME_IP_OR_LOOPBACK"}, {"remote": SocketAddress("10.0.0.1", 1)}, True),
        ({"source_type": "SAME_IP_OR_LOOPBACK"}, {"remote": SocketAddress("::1", 1)}, True),
        ({"source_type": "SAME_IP_OR_LOOPBACK"}, {"local": PipeAddress("/x"), "remote": PipeAddress("")}, True),
    ],
)
def test_each_rule(match: dict[str, Any], arrival: dict[str, Any], *, found: bool) -> None:
    assert chosen(match, **arrival) == (0 if found else None)
    assert chosen({}, match, **arrival) == (1 if found else 0), "the more specific one wins, wherever it stands"


def test_the_most_specific_name_wins() -> None:
    matches = [{"server_names": names} for names in (("*.test",), ("*.a.test",), ("b.a.test",))]
    assert chosen(*matches, server_name="b.a.test") == 2
    assert chosen(*matches, server_name="c.a.test") == 1
    assert chosen(*matches, server_name="c.b.test") == 0
    assert chosen(*matches, server_name="test") is None


def test_the_longest_prefix_wins() -> None:
    matches = [{"source_prefix_ranges": (text,)} for text in ("192.0.0.0/8", "192.0.2.0/24", "192.0.2.0/25")]
    assert chosen(*matches) == 2
    assert chosen(*matches, remote=SocketAddress("192.0.2.200", 1)) == 1


def test_there_is_no_way_back() -> None:
    """The name fits the second chain, but the port, asked before, only the first."""
    assert chosen({"destination_port": 443, "server_names": ("x.test",)}, {}, server_name="a.test") is None
    by_name = {"server_names": ("a.test",), "application_protocols": ("h2",)}
    assert chosen(by_name, {"application_protocols": ("x",)}, server_name="a.test", applications=("x",)) is None


def test_the_same_rules_twice() -> None:
    with pytest.raises(SameRules) as caught:
        chosen({"server_names": ("a", "b")}, {"server_names": ("c",)}, {"server_names": ("b",)})
    assert (caught.value.index, caught.value.other) == (2, 0)
