"""Time of one route match, and of building the table: `python -m bench.route_match`.

Tables of 1, 10, 1,000 and 10,000 routes over up to 1,000 virtual hosts, and all in one virtual host; requests spread
over the whole table. `linear` is the scan that the index must agree with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.config.route import ClusterAction, Route, RouteConfiguration, RouteMatch, VirtualHost
from proxy.http.events import RequestReceived
from proxy.http.headers import Headers
from proxy.http.request import Request
from proxy.route.entry import RouteEntry
from proxy.route.path import without_query
from proxy.route.table import RouteTable

SAMPLES = 200
HEADERS = Headers((f"x-{number}".encode(), b"value") for number in range(8))
TESTER = (HeaderMatcher("x-tester", StringMatcher("exact", "1")),)


def routes(shape: str, count: int, host: int) -> Iterator[Route]:
    """`count` routes, the last of which takes everything."""
    action = ClusterAction("c")
    for number in range(count - 1):
        path = f"/api/v{number % 7}/{'team/' * (number % 5)}service-{host}-{number}"
        kind: Literal["path", "regex", "prefix"] = (
            "path" if shape == "path" else "regex" if shape.startswith("regex") else "prefix"
        )
        value = {"regex": f"{path}/[0-9]+", "regex, nothing literal": f"/[^/]+{path}/[0-9]+"}.get(shape, path)
        yield Route(RouteMatch(kind, value, headers=TESTER if shape == "prefix, header" else ()), action)
    yield Route(RouteMatch("prefix", "/"), action)


def requests(shape: str, config: RouteConfiguration) -> list[Request]:
    listed = [(host.domains[0], route.match) for host in config.virtual_hosts for route in host.routes]
    chosen = [listed[index * 7919 % len(listed)] for index in range(SAMPLES)]
    return [
        Request(
            RequestReceived(
                stream_id=1,
                method=b"GET",
                scheme=b"http",
                authority=domain.replace("*", "x").encode(),
                path=match.value.replace("[0-9]+", "42").replace("[^/]+", "eu").encode() + b"?page=2",
                protocol="HTTP/1.1",
                headers=HEADERS,
                end_stream=True,
            )
        )
        for domain, match in chosen
    ]


def linear(config: RouteConfiguration) -> Callable[[Request], RouteEntry | None]:
    entries = {
        host.domains[0].replace("*", "x").encode(): [RouteEntry(config, host, route) for route in host.routes]
        for host in config.virtual_hosts
    }

    def match(request: Request) -> RouteEntry | None:
        path = without_query(request.path)
        return next((entry for entry in entries[request.authority] if entry.matches(path, request)), None)

    return match


def nanoseconds(match: Callable[[Request], object], heads: Sequence[Request]) -> float:
    """Of the best of some rounds, per request."""
    best = float("inf")
    until = time.perf_counter() + 0.5
    while time.perf_counter() < until:
        started = time.process_time_ns()
        for head in heads:
            match(head)
        best = min(best, (time.process_time_ns() - started) / len(heads))
    return best


def measure(shape: str, count: int, hosts: int) -> None:
    config = RouteConfiguration(
        "rc",
        tuple(
            VirtualHost(f"v{host}", ("*" if hosts == 1 else f"v{host}.example.com",), tuple(part))
            for host in range(hosts)
            for part in [routes(shape, count // hosts, host)]
        ),
    )
    started = time.process_time()
    table = RouteTable(config)
    built = time.process_time() - started
    heads = requests(shape, config)
    scan = linear(config)
    scanned = nanoseconds(scan, heads)
    for head in heads:
        expected, found = scan(head), table.match(head)
        if (expected and expected.route) is not (found and found.route):
            raise AssertionError(f"{shape}: {head.path!r} finds another route than a linear scan")
    print(
        f"{shape:<24} {count:>7,} {hosts:>7,} {nanoseconds(table.match, heads):>10,.0f} {scanned:>12,.0f}"
        f" {built * 1000:>10,.1f}"
    )


def main() -> None:
    print(f"{'shape':<24} {'routes':>7} {'hosts':>7} {'ns/match':>10} {'ns linear':>12} {'build ms':>10}")
    for shape in ("prefix", "path", "prefix, header", "regex", "regex, nothing literal"):
        for count in (1, 10, 1_000, 10_000):
            measure(shape, count, 1)
            if count >= 1_000:
                measure(shape, count, count // 10)


if __name__ == "__main__":
    main()
