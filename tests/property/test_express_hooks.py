"""Filters that never wait see the same, and do the same, in the express lane and on the general path."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.common import PluginConfig
from proxy.config.header_mutation import Mutation
from proxy.config.identity import Identity
from proxy.filters.http.dynamic_modules import ModuleConfig
from proxy.filters.http.header_mutation import HeaderMutation
from proxy.filters.network.hcm_express_hooks import HookedLane
from tests.property.express import hooks
from tests.property.express.proxied import assert_same, run
from tests.property.express.routings import HEADER_MUTATION, PLAIN_ROUTING, ROUTINGS, Routing
from tests.property.express.traffic import GET, LONG, PLAIN, POST, SCRIPTS, TRACED, Answer, Step, sized
from tests.unit.proxy.rig import plugin

MODULE = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"


def hook(filter_class: type) -> PluginConfig:
    return plugin(filter_class.__name__, MODULE, ModuleConfig(hooks.__name__, filter_class.__name__))


VARYING = HeaderMutation.Config(request=(Mutation(b"x-path", "ADD_IF_ABSENT", "%REQ(:PATH)%"),))
CHAINS = st.lists(st.sampled_from(hooks.ALL), min_size=1, max_size=4, unique=True)
EVERY_PATH = [
    Step(b"GET %b HTTP/1.1\r\nhost: o\r\n\r\n" % path, PLAIN)
    for path in (b"/", b"/a", b"/a?b=c", b"/deep/er/~x;y=1", b"/%20", b"/%22quote", b"//a%2fb", b"/")
]
EVERY_ANSWER = [
    Step(GET, answer)
    for answer in (
        PLAIN,
        Answer((sized(b"x", b"content-type: text/plain\r\n"),)),
        Answer((sized(b"", status=b"404 Not Found"),)),
        Answer((sized(b"bad", status=b"503 Service Unavailable"),)),
        Answer((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",)),
        Answer((sized(b"y" * 30)[:20], sized(b"y" * 30)[20:])),
        Answer((sized(b"bye", b"connection: close\r\n"),), closes=True),
        Answer((), closes=True),
        PLAIN,
    )
]
REFUSED = [
    Step(b"GET / HTTP/1.1\r\nhost: o\r\n%b\r\n" % line, PLAIN)
    for line in (b"", b"x-host: theirs.test\r\n", b"", b"te: trailers\r\n", b"", b"connection: close\r\n", b"")
]


class Case(NamedTuple):
    """`mutation`: our own filter with an operator stands before the hooks."""

    script: list[Step]
    chain: list[type]
    mutation: bool = False
    remote: bool = True
    routing: Routing = PLAIN_ROUTING


def both(script: list[Step], path: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    with_lane = run(script, path / "with", lane=True, monkeypatch=monkeypatch, **options)
    without = run(script, path / "without", lane=False, monkeypatch=monkeypatch, **options)
    assert_same(with_lane, without, service_time=True)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.builds(Case, SCRIPTS, CHAINS, st.booleans(), st.booleans(), ROUTINGS))
@example(drawn=Case([Step(GET, LONG), Step(POST, LONG)], [hooks.Stamp], mutation=True))
@example(drawn=Case(TRACED, [hooks.Stamp, hooks.Told]))
@example(drawn=Case([*EVERY_PATH, *EVERY_PATH], [hooks.Louder], remote=False))
@example(drawn=Case(EVERY_PATH, [hooks.Told, hooks.Readdress], mutation=True))
@example(drawn=Case(EVERY_ANSWER, [hooks.Told, hooks.Refuse, hooks.Stamp]))
@example(drawn=Case(REFUSED, [hooks.Stamp, hooks.Deny, hooks.Told]))
def test_hooks_know_no_lane(drawn: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filters = [hook(each) for each in drawn.chain]
    if drawn.mutation:
        filters.insert(0, plugin("m", HEADER_MUTATION, VARYING))
    identity = Identity(use_remote_address=drawn.remote)
    both(drawn.script, tmp_path, monkeypatch, filters=filters, identity=identity, routing=drawn.routing)


@pytest.mark.parametrize("answer", [PLAIN, LONG], ids=["short", "long"])
def test_plain_requests_with_hooks_take_the_lane(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0
    respond = HookedLane._respond

    def counted(self: HookedLane, *arguments: Any) -> bool:
        nonlocal taken
        done = respond(self, *arguments)
        taken += done
        return done

    monkeypatch.setattr(HookedLane, "_respond", counted)
    script = [Step(GET, answer)] * 3 + [Step(POST, answer)] * 2 + [Step(GET.replace(b"/ ", b"/x?b "), answer)]
    filters = [hook(hooks.Stamp), hook(hooks.Told)]
    run(script, tmp_path / "log", lane=True, monkeypatch=monkeypatch, filters=filters)
    assert taken == len(script) - 1  # the first one has to open a connection
