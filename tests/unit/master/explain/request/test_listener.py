"""Which listener a request reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from master.explain.request.listener import Reached, find
from master.explain.request.question import QuestionError, read
from proxy.config.common import Address, PipeAddress, SocketAddress
from proxy.config.listener import Listener

ANY = Listener("any", (SocketAddress("0.0.0.0", 80), PipeAddress("/run/any")), "", ())
V6 = Listener("v6", (SocketAddress("::", 81),), "", ())
ONE = Listener("one", (SocketAddress("10.0.0.1", 80), SocketAddress("10.0.0.1", 82)), "10.0.0.1_80", ())
UNBOUND = Listener("unbound", (SocketAddress("127.0.0.1", 0),), "", ())
ALL = (ANY, V6, ONE, UNBOUND)


def reached(url: str, listeners: Sequence[Listener] = ALL, name: str = "", **bound: Sequence[Address]) -> Reached:
    known: Mapping[str, Sequence[Address]] = bound
    return find(read("GET", url, listener=name), listeners, known)


def test_by_the_port_and_by_the_address_where_that_is_one() -> None:
    assert reached("http://shop.test/") == Reached(2, SocketAddress("10.0.0.1", 80), "listens on 10.0.0.1:80")
    assert reached("http://127.0.0.9/") == Reached(0, SocketAddress("127.0.0.9", 80), "listens on 0.0.0.0:80")
    assert reached("http://10.0.0.1:82/").number == 2
    assert reached("http://[::1]:81/") == Reached(1, SocketAddress("::1", 81), "listens on [::]:81")


def test_a_port_that_the_kernel_chose_is_known_while_the_proxy_runs() -> None:
    bound = SocketAddress("127.0.0.1", 4711)
    assert reached("http://x.test:4711/", unbound=(bound,)) == Reached(3, bound, "listens on 127.0.0.1:4711")


def test_the_only_one_takes_whatever_is_asked() -> None:
    assert reached("http://x.test:9/", (V6,)) == Reached(0, SocketAddress("127.0.0.1", 81), "the only listener")
    assert reached("/path", (ONE,)).how == "the only listener"


def test_by_name() -> None:
    assert reached("http://x.test:82/", name="one") == Reached(2, SocketAddress("10.0.0.1", 82), "named")
    assert reached("/", name="any") == Reached(0, SocketAddress("127.0.0.1", 80), "named")
    assert reached("/", name="10.0.0.1_80") == Reached(2, SocketAddress("10.0.0.1", 80), "named")
    with pytest.raises(QuestionError, match="did you mean one"):
        reached("/", name="onee")


@pytest.mark.parametrize("url", ["http://x.test:9/", "/path", "http://10.0.0.2:82/"])
def test_nobody_guesses_among_several(url: str) -> None:
    with pytest.raises(QuestionError, match=r"--listener\. There are any"):
        reached(url)


def test_without_listeners_there_is_nothing_to_explain() -> None:
    with pytest.raises(QuestionError, match="no listener"):
        reached("/", ())
