"""The table of pages, and each page against a view of real regions and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from master.admin import stats_html
from master.admin.dispatch import answer
from master.admin.gauges import known
from master.admin.page import Context, Reply
from master.admin.pages import PAGES, help_text, load
from master.stats.aggregate import Intervals
from proxy.config.cluster import CircuitBreaker, Cluster, Dns, DnsEndpoint, DnsLocality, Host
from proxy.config.common import PipeAddress, SocketAddress
from proxy.config.listener import Listener
from proxy.flight_recorder import Record
from proxy.upstream.tables import ClusterColumn, HostColumn
from shm.processes import Role, State
from tests.kit.config import compiled
from tests.kit.trio import run_trio
from tests.kit.view import LiveView, configuration, live_view, one_cluster

WEB = Listener("web", (SocketAddress("127.0.0.1", 80), PipeAddress("/run/web")), "127.0.0.1_80", ())


@pytest.fixture
def view() -> Iterator[LiveView]:
    config = configuration(
        [Cluster("back", "STATIC", breaker=CircuitBreaker(max_connections=2)), Cluster("x:y", "STATIC")],
        [("back", Host(3, SocketAddress("::1", 9), hostname="h", weight=7))],
        listeners=(WEB,),
    )
    with live_view(config) as made:
        yield made


async def ask(view: LiveView, target: str, method: str = "GET") -> Reply:
    return await answer(method, target, Context(view, Intervals({})))


def test_every_page_of_the_table_has_a_handler_and_stands_in_help() -> None:
    for page in PAGES:
        assert callable(load(page))
        assert f"  {page.path}{' (POST)' if page.mutates else ''}: {page.help}\n" in help_text()
    assert [page.path for page in PAGES] == sorted(page.path for page in PAGES)


@run_trio
async def test_ready_follows_the_state(view: LiveView) -> None:
    reply = await ask(view, "/ready")
    assert (reply.status, reply.body) == (200, b"LIVE\n")
    view.state = "DRAINING"
    reply = await ask(view, "/ready")
    assert (reply.status, reply.body) == (503, b"DRAINING\n")


@run_trio
async def test_unknown_paths_and_methods(view: LiveView) -> None:
    reply = await ask(view, "/nope")
    assert reply.status == 404
    assert reply.body.startswith(b"invalid path. admin commands are:\n  /: Admin home page\n")
    reply = await ask(view, "/quitquitquit")
    assert (reply.status, reply.body) == (405, b"Method GET not allowed, POST required.")
    assert (await ask(view, "/quitquitquit", "DELETE")).body == b"Method DELETE not allowed, POST required."
    assert (await ask(view, "/ready", "POST")).status == 200
    assert (await ask(view, "/ready/")).status == 404
    assert view.orders == []


@run_trio
async def test_quitquitquit_answers_first_and_acts_then(view: LiveView) -> None:
    reply = await ask(view, "/quitquitquit", "POST")
    assert reply.body == b"OK\n"
    assert view.orders == []
    assert reply.finish is not None
    await reply.finish()
    reply = await ask(view, "/quitquitquit?now", "POST")
    assert reply.finish is not None
    await reply.finish()
    assert view.orders == ["shutdown", "shutdown now"]


@run_trio
async def test_workers(view: LiveView) -> None:
    assert (await ask(view, "/workers?count=3", "POST")).body == b"3 workers\n"
    assert view.orders == ["workers 3"]
    refused = await ask(view, "/workers?count=9", "POST")
    assert (refused.status, b"more than the 4" in refused.body) == (409, True)
    for wrong in ("", "0", "-1", "x", "255", "1.5", "٣", "9" * 30):
        assert (await ask(view, f"/workers?count={wrong}", "POST")).status == 400
    assert view.orders == ["workers 3"]


@run_trio
async def test_listeners(view: LiveView) -> None:
    assert (await ask(view, "/listeners")).body == b"web::127.0.0.1:80\nweb::/run/web\n"
    (status,) = json.loads((await ask(view, "/listeners?format=json")).body)["listener_statuses"]
    assert status == {
        "name": "web",
        "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 80}},
        "additional_local_addresses": [{"pipe": {"path": "/run/web"}}],
    }


@run_trio
async def test_clusters_show_what_all_workers_did_to_a_host(view: LiveView) -> None:
    view.host_writers[0].add(3, HostColumn.RQ_TOTAL, 4)
    view.host_writers[1].add(3, HostColumn.RQ_TOTAL, 5)
    view.host_writers[1].add(3, HostColumn.CX_ACTIVE, 2)
    text = (await ask(view, "/clusters")).body.decode()
    assert "back::default_priority::max_connections::2\n" in text
    assert "back::high_priority::max_connections::1024\n" in text
    assert "back::[::1]:9::rq_total::9\n" in text
    assert "back::[::1]:9::hostname::h\n" in text
    assert "x:y::observability_name::x:y\n" in text
    (only,) = json.loads((await ask(view, "/clusters?format=json&filter=^ba")).body)["cluster_statuses"]
    (host,) = only["host_statuses"]
    assert {"value": "9", "name": "rq_total"} in host["stats"]
    assert {"type": "GAUGE", "value": "2", "name": "cx_active"} in host["stats"]
    assert (await ask(view, "/clusters?filter=(")).status == 400


@run_trio
async def test_stats_in_three_formats(view: LiveView) -> None:
    view.stats.counter("cluster.back.external.upstream_rq_503").inc(2)
    view.stats.gauge("cluster.back.upstream_cx_active").add(1)
    view.stats.histogram("cluster.back.external.upstream_rq_time").record(12)
    text = (await ask(view, "/stats")).body.decode()
    assert "cluster.back.upstream_rq_5xx: 2\n" in text
    assert "cluster.back.upstream_rq_time: P0(nan,12.5) " in text
    stats = json.loads((await ask(view, "/stats?format=json")).body)["stats"]
    assert {"name": "cluster.back.external.upstream_rq_503", "value": 2} in stats
    for target in ("/stats?format=prometheus", "/stats/prometheus"):
        scraped = (await ask(view, target)).body.decode()
        assert 'envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="back"} 2\n' in scraped


@run_trio
async def test_stats_are_selected(view: LiveView) -> None:
    view.stats.counter("a.used").inc()
    view.stats.counter("a.unused")
    view.stats.histogram("a.h").record(1)
    assert (await ask(view, "/stats?filter=^a\\.u")).body == b"a.unused: 0\na.used: 1\n"
    assert (await ask(view, "/stats?filter=^a\\.u&usedonly")).body == b"a.used: 1\n"
    everything = (await ask(view, "/stats")).body
    assert (await ask(view, "/stats?filter=^a\\.&invert_filter")).body == b"".join(
        line for line in everything.splitlines(keepends=True) if not line.startswith(b"a.")
    )
    assert (await ask(view, "/stats?filter=^a&type=Histograms")).body.startswith(b"a.h: P0(")
    assert (await ask(view, "/stats?filter=^a&type=Gauges")).body == b""
    assert (await ask(view, "/stats?filter=^a&type=Counters")).body == b"a.unused: 0\na.used: 1\n"


@pytest.mark.parametrize(
    "target",
    ["/stats?format=foo", "/stats?type=foo", "/stats?filter=(", "/stats?histogram_buckets=foo",
     "/stats/prometheus?histogram_buckets=detailed", "/stats?filter=" + "a" * 2000, "/config_dump?name_regex=(",
     "/config_dump?resource=bootstrap", "/config_dump?mask=nope", "/stats?" + "a&" * 40],
)  # fmt: skip
def test_bad_parameters_are_told(target: str) -> None:
    @run_trio
    async def check() -> None:
        with live_view() as view:
            reply = await ask(view, target)
            assert reply.status == 400
            assert reply.body

    check()


def test_max_host_weight_of_dns_clusters() -> None:
    hosts = [("d", Host(slot, SocketAddress("::1", slot), weight=weight)) for slot, weight in enumerate((2, 7))]
    with live_view(configuration([Cluster("d", "STRICT_DNS")], hosts)) as made:
        assert known(made)["cluster.d.max_host_weight"] == 7


@run_trio
async def test_gauges_that_only_the_whole_knows(view: LiveView) -> None:
    for writer in view.cluster_writers:
        writer.add(0, ClusterColumn.CONNECTIONS, 1)
    stats = {
        stat["name"]: stat["value"]
        for stat in json.loads((await ask(view, "/stats?format=json")).body)["stats"]
        if "value" in stat
    }
    assert stats["cluster.back.membership_total"] == 1
    assert stats["cluster.x_y.membership_total"] == 0
    assert stats["cluster.back.max_host_weight"] == 0  # a STATIC cluster, as in Envoy
    assert stats["cluster.back.circuit_breakers.default.cx_open"] == 1
    assert stats["cluster.back.circuit_breakers.default.rq_open"] == 0


@run_trio
async def test_processes(view: LiveView) -> None:
    view.add_process(2, Role.WORKER, index=0, generation=3, connections=5, requests_active=2, restarts=1,
                     loop_lag_ns=2_000_000, state=State.DRAINING)  # fmt: skip
    view.add_process(3, Role.WORKER, index=1, pid=2**22 + 1)  # beyond the kernel's greatest process id
    first, second = json.loads((await ask(view, "/processes")).body)["processes"]
    assert {name: first[name] for name in ("role", "generation", "state", "connections", "requests_active")} == {
        "role": "worker", "generation": 3, "state": "draining", "connections": 5, "requests_active": 2,
    }  # fmt: skip
    assert first["loop_lag_seconds"] == 0.002
    assert first["rss_bytes"] > 0
    assert first["cpu_percent"] >= 0
    assert (second["cpu_percent"], second["rss_bytes"]) == (None, None)


@run_trio
async def test_server_info_hides_the_text_of_config_yaml(view: LiveView) -> None:
    view.options = {"concurrency": 2, "config_path": None, "config_yaml": "password: x", "drain_time": 5.5}
    info = json.loads((await ask(view, "/server_info")).body)
    assert info["command_line_options"]["config_yaml"] == "[redacted]"
    assert info["command_line_options"]["concurrency"] == 2
    assert info["command_line_options"]["drain_time"] == "5.5s"
    assert info["node"]["id"] == "n1"


@run_trio
async def test_the_home_page_links_only_what_changes_nothing() -> None:
    with live_view(one_cluster()) as view:
        page = (await ask(view, "/")).body.decode()
    assert '<a href="stats/prometheus">' in page
    assert 'href="quitquitquit"' not in page
    assert "POST /quitquitquit" in page


@run_trio
async def test_the_first_of_equal_parameters_counts(view: LiveView) -> None:
    view.stats.counter("a.b").inc()
    assert (await ask(view, "/stats?filter=%5Ea%5C.b&filter=nothing")).body == b"a.b: 1\n"


def recorded(view: LiveView, *names: str) -> None:
    for number, name in enumerate(names):
        flags = "UF" if name.startswith("uf") else "-"
        view.recorder.add(Record(float(number), "failed" if flags == "UF" else "slow", 0, request_id=name, flags=flags))


@run_trio
async def test_why_is_newest_first_and_continues_behind_a_cursor(view: LiveView) -> None:
    recorded(view, "uf-1", "slow-1", "uf-2")
    told = json.loads((await ask(view, "/why")).body)
    assert [failure["request_id"] for failure in told["failures"]] == ["uf-2", "slow-1", "uf-1"]
    assert told["failures"][0]["words"]["fault"] == "upstream"
    again = json.loads((await ask(view, f"/why?after={told['cursor']}")).body)
    assert again == {"failures": [], "cursor": told["cursor"]}


@run_trio
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("flag=UF", ["uf-2", "uf-1"]), ("flag=slow", ["slow-1"]), ("id=uf-1", ["uf-1"]), ("id=uf", ["uf-2", "uf-1"]),
        ("limit=1", ["uf-2"]), ("flag=UT", []),
    ],
)  # fmt: skip
async def test_why_can_be_narrowed(view: LiveView, query: str, expected: list[str]) -> None:
    recorded(view, "uf-1", "slow-1", "uf-2")
    told = json.loads((await ask(view, f"/why?{query}")).body)
    assert [failure["request_id"] for failure in told["failures"]] == expected


@run_trio
@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after=1", "after=a:b", f"after=1:{'9' * 40}"])
async def test_why_refuses_what_it_cannot_read(view: LiveView, query: str) -> None:
    assert (await ask(view, f"/why?{query}")).status == 400


@run_trio
@pytest.mark.parametrize(
    ("target", "order"),
    [
        ("/healthcheck/fail", "health check failed: True"), ("/healthcheck/ok", "health check failed: False"),
        ("/drain_listeners", "drain web"), ("/reset_counters", "reset counters"),
        ("/reopen_logs", "reopen logs"),
    ],
)  # fmt: skip
async def test_orders_are_given_by_post_alone(view: LiveView, target: str, order: str) -> None:
    assert (await ask(view, target)).status == 405
    assert view.orders == []
    reply = await ask(view, target, "POST")
    assert (reply.status, reply.body) == (200, b"OK\n")
    assert view.orders == [order]


LISTENERS = """
static_resources:
  listeners:
  - {name: in, traffic_direction: INBOUND, address: {socket_address: {address: 127.0.0.1, port_value: 1}},
     filter_chains: [{filters: [{name: echo, typed_config:
       {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]}]}
  - {name: out, traffic_direction: OUTBOUND, address: {socket_address: {address: 127.0.0.1, port_value: 2}},
     filter_chains: [{filters: [{name: echo, typed_config:
       {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}}]}]}
"""


@run_trio
@pytest.mark.field("envoy.config.listener.v3.Listener.traffic_direction")
async def test_inboundonly_drains_the_listeners_of_that_direction() -> None:
    with live_view(compiled(LISTENERS)) as view:
        assert (await ask(view, "/drain_listeners?inboundonly", "POST")).status == 200
        assert view.orders == ["drain in"]


@run_trio
@pytest.mark.parametrize(
    ("query", "closes"), [("", True), ("?graceful", False), ("?skip_exit", False), ("?graceful&skip_exit", False)]
)
async def test_a_drain_closes_at_once_later_or_never(query: str, closes: bool) -> None:
    with live_view(compiled(LISTENERS)) as view:
        view.stats.gauge("listener.127.0.0.1_1.downstream_cx_active").add(2)
        assert (await ask(view, f"/drain_listeners{query}", "POST")).body == b"OK\n"
        shown = json.loads((await ask(view, "/drains")).body)["listeners"]
        assert [(item["name"], item["connections"]) for item in shown] == [("in", 2), ("out", 0)]
        assert {item["state"] for item in shown} == {"closed" if closes else "draining"}
        assert (shown[0]["closes_in_s"] is None) == (query != "?graceful")
        assert (await ask(view, "/drain_listeners?undo", "POST")).status == 200
        shown = json.loads((await ask(view, "/drains")).body)["listeners"]
        assert {item["state"] for item in shown} == {"open"}


@run_trio
async def test_a_listener_can_be_named(view: LiveView) -> None:
    with live_view(compiled(LISTENERS)) as view:
        assert (await ask(view, "/drain_listeners?listener=out", "POST")).status == 200
        assert view.orders == ["drain out"]
        assert (await ask(view, "/drain_listeners?listener=nobody", "POST")).status == 404
        assert (await ask(view, "/drain_listeners?undo&graceful", "POST")).status == 400
        assert list(view.drains) == ["out"]


@run_trio
@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("", None),
        ("dns=debug", "log {'dns': 'debug'} for None"),
        ("paths=dns:debug,admin:off", "log {'dns': 'debug', 'admin': 'off'} for None"),
        ("dns=debug&for=60", "log {'dns': 'debug'} for 60.0"),
    ],
)
async def test_logging_changes_levels(view: LiveView, query: str, order: str | None) -> None:
    reply = await ask(view, f"/logging?{query}", "POST")
    assert reply.status == 200
    assert view.orders == ([order] if order else [])
    assert (b"  dns: debug\n" in reply.body) == bool(order)


@run_trio
async def test_logging_changes_all_levels(view: LiveView) -> None:
    body = (await ask(view, "/logging?level=warning", "POST")).body.decode()
    lines = body.splitlines()
    assert lines[0] == "active loggers:"
    assert {line.split(": ")[1] for line in lines[1:] if line} == {"warning"}


@run_trio
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("level=loud", "unknown logger level"), ("dns=loud", "unknown logger level"),
        ("nobody=debug", "unknown logger name"), ("paths=nobody:debug", "unknown logger name"),
        ("paths=dns", "empty logger name or empty logger level"), ("dns=debug&admin=debug", "number of parameters"),
        ("dns=debug&for=never", "number of seconds"), ("dns=debug&for=-1", "number of seconds"),
        ("dns=debug&for=nan", "number of seconds"),
    ],
)  # fmt: skip
async def test_logging_refuses_with_envoys_words(view: LiveView, query: str, words: str) -> None:
    reply = await ask(view, f"/logging?{query}", "POST")
    assert reply.status == 400
    assert reply.body.startswith(b"error: ")
    assert words in reply.body.decode()
    assert b"\n\nusage: /logging?" in reply.body
    assert view.orders == []


@run_trio
async def test_memory_counts_living_processes(view: LiveView) -> None:
    view.add_process(3, Role.WORKER)
    memory = json.loads((await ask(view, "/memory")).body)
    assert int(memory["total_physical_bytes"]) >= int(memory["allocated"]) > 0


@run_trio
async def test_constant_pages(view: LiveView) -> None:
    assert (await ask(view, "/hot_restart_version")).body == b"disabled"
    assert (await ask(view, "/init_dump")).body == b"{}\n"


@run_trio
async def test_stats_as_html_escape_names_and_load_nothing(view: LiveView) -> None:
    page = (await ask(view, "/stats?format=html&filter=%3Cscript%3E")).body.decode()
    assert "<script>" not in page
    assert 'value="&lt;script&gt;"' in page
    active = (await ask(view, "/stats?format=active-html")).body.decode()
    assert "innerHTML" not in active
    assert not re.search(r"(src|href)\s*=", active)
    assert (await ask(view, "/stats?format=active-html&filter=(")).status == 400


def test_stat_names_are_text_in_html() -> None:
    shown = "".join(stats_html.page([], {}, ["a<b>&c: 1\n"]))
    assert "a&lt;b&gt;&amp;c: 1" in shown


@run_trio
async def test_init_dump_while_names_are_looked_up() -> None:
    """The listeners' lines are those of Envoy; what they wait for is ours."""
    dns = Dns((DnsLocality(0, (DnsEndpoint("a.example", 80),)),))
    nameless = Cluster("nameless", "STRICT_DNS", dns=Dns(()))
    with live_view(configuration([Cluster("slow", "STRICT_DNS", dns=dns), nameless], [], listeners=(WEB,))) as made:
        made.state = "PRE_INITIALIZING"
        listener, clusters = json.loads((await ask(made, "/init_dump")).body)["unready_targets_dumps"]
        assert re.fullmatch(r"init manager Listener-local-init-manager web \d+", listener["name"])
        assert clusters["target_names"] == ["target Cluster slow"]
        assert json.loads((await ask(made, "/init_dump?mask=listener")).body) == {"unready_targets_dumps": [listener]}
        assert json.loads((await ask(made, "/init_dump?mask=cluster")).body) == {"unready_targets_dumps": [clusters]}
        assert (await ask(made, "/init_dump?mask=nothing")).body == b"{}\n"
        made.stats.counter("cluster.slow.update_failure").inc()
        assert (await ask(made, "/init_dump?mask=cluster")).body == b"{}\n"
        made.state = "LIVE"
        assert (await ask(made, "/init_dump")).body == b"{}\n"
