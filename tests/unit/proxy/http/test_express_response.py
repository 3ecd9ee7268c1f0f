"""What is kept of responses has a bound, however many routes and hosts there are."""

from __future__ import annotations

from proxy.http import express_response
from proxy.http.express_response import Shelf, WrittenPlans
from proxy.http.response_head import ResponseRules


def plans(shelf: Shelf) -> WrittenPlans:
    return WrittenPlans(shelf, RULES, max_bytes=1000, max_count=100, service_time=True)


def head(number: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nx-number: %d\r\ncontent-length: 2\r\n\r\n" % number


RULES = ResponseRules()


def test_heads_that_all_differ_are_not_kept_for_ever() -> None:
    shelf = Shelf()
    routes = [plans(shelf) for _ in range(10)]
    for number in range(5 * express_response._MAX_PLANS):
        found = routes[number % 10].find(head(number), close=number % 3 == 0)
        assert found is not None
        assert b"x-number: %d\r\n" % number in found.render(7)
        assert sum(map(len, shelf._all)) <= express_response._MAX_PLANS


def test_a_head_that_comes_again_is_not_looked_at_again() -> None:
    one = plans(Shelf())
    dated = head(1).replace(b"x-number", b"date")
    assert one.find(dated) is one.find(dated + b"ok")
    assert one.find(dated, close=True) is not one.find(dated)
