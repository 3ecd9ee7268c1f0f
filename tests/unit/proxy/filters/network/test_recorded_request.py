"""What a record keeps of a request so that it can be routed again: as the client sent it, before any edit."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from proxy.config.common import HeaderMatcher, StringMatcher
from proxy.config.header_mutation import HeaderMutations, Mutation
from proxy.config.identity import Identity
from proxy.config.route import ClusterAction, HostRewrite, PathRewrite, Route, RouteMatch
from proxy.config.target import TargetRules
from proxy.flight_recorder import Record
from tests.unit.proxy.rig import compiled, serving, until, virtual_clock

EDITS = HeaderMutations(request=(Mutation(b"x-env", "REMOVE"), Mutation(b"x-late", "ADD_IF_ABSENT", "1")))
ENV = HeaderMatcher("x-env", StringMatcher("exact", "dev"))
REWRITTEN = Route(
    RouteMatch("prefix", "/a", headers=(ENV, HeaderMatcher("authorization", invert=True, present=True))),
    ClusterAction("origin", path_rewrite=PathRewrite("prefix", "/z"), host_rewrite=HostRewrite("literal", "inner")),
    header_mutations=EDITS,
)
PLAIN = Route(RouteMatch("prefix", "/"), ClusterAction("origin"))


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**named: object) -> None:
        trio.run(functools.partial(test, **named), clock=virtual_clock())

    return run


async def recorded(*lines: str, path: str = "/a/../a/b", **manager: Any) -> Record:
    """The record of a request that meets no host."""
    async with serving(compiled(None, routes=[REWRITTEN, PLAIN], **manager)) as rig:
        head = "".join(f"{line}\r\n" for line in ("host: shop.test", *lines))
        await rig.ask(f"GET {path} HTTP/1.1\r\n{head}connection: close\r\n\r\n".encode())
        await until(lambda: bool(rig.records))
        return rig.records[0]


@virtual
async def test_rewrites_and_edits_do_not_hide_what_was_asked() -> None:
    record = await recorded("x-env: dev", "x-other: 1", target=TargetRules(normalize_path=True))
    assert (record.authority, record.path) == ("inner", "/z/b")
    assert record.url == "http://shop.test/a/../a/b"
    assert (record.headers, record.reproducible) == (("x-env: dev",), True)


@virtual
async def test_what_is_known_anyway_is_not_kept_twice() -> None:
    record = await recorded(path="/b")
    assert (record.url, record.peer, record.headers, record.reproducible) == ("", "", (), True)


@virtual
async def test_whoever_stands_before_the_client_is_the_peer() -> None:
    line = "x-forwarded-for: 10.0.0.1, 10.0.0.2"
    record = await recorded(line, identity=Identity(use_remote_address=True, xff_num_trusted_hops=1))
    assert record.downstream == "10.0.0.2:0"
    assert record.peer.startswith("127.0.0.1:")
    assert record.headers == (line,)


@pytest.mark.parametrize("line", ["authorization: Basic eHg=", f"x-env: {'x' * 300}"])
@virtual
async def test_secrets_and_what_is_too_long_are_not_kept(line: str) -> None:
    record = await recorded(line)
    assert (record.headers, record.reproducible) == ((), False)
