"""Admin pages of ours and of the real Envoy on an equal bootstrap (features §13 rule 53, §11.18)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from envoy.config.bootstrap.v3 import bootstrap_pb2

from master.admin.config_dump import redact
from master.config.check import check
from master.config.source import Source
from tests.kit.admin import serving
from tests.kit.client import Response, fetch
from tests.kit.envoy import Envoy, with_free_ports
from tests.kit.view import LiveView, live_view

BOOTSTRAP = """
node: {id: n1, cluster: c1, locality: {region: r, zone: z}}
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    additional_addresses:
    - address: {socket_address: {address: "::1", port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          route_config:
            name: local
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {match: {prefix: /}, route: {cluster: back, timeout: 3s}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: back
    type: STATIC
    connect_timeout: 1.5s
    alt_stat_name: shown
    load_assignment:
      cluster_name: back
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}, hostname: h}
          load_balancing_weight: 7
        - endpoint: {address: {socket_address: {address: "::1", port_value: 2}}}
  - name: placed
    type: STATIC
    load_assignment:
      cluster_name: placed
      endpoints:
      - locality: {region: r, zone: z, sub_zone: s}
        lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 3}}}
  - name: "empty:one"
    type: STATIC
    load_assignment: {cluster_name: x}
"""


class Both(NamedTuple):
    """Envoy, and our admin server over a view of the same bootstrap."""

    envoy: Envoy
    view: LiveView
    ours: tuple[str, int]

    def ask(self, target: str, method: str = "GET") -> tuple[Response, Response]:
        """(ours, Envoy's)."""
        line = f"{method} {target} HTTP/1.1\r\nHost: admin\r\n\r\n".encode()
        return fetch(self.ours, line), fetch(self.envoy.admin_address, line)

    def ask_json(self, target: str) -> tuple[Any, Any]:
        ours, theirs = self.ask(target)
        return json.loads(ours.body), json.loads(theirs.body)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    source = Source("envoy.yaml", with_free_ports(BOOTSTRAP), "yaml")
    checked = check([source], allow_unsupported=False, version=1)
    config = checked.config
    assert config is not None, checked.findings
    directory: Path = tmp_path_factory.mktemp("admin")
    with Envoy(BOOTSTRAP) as envoy, live_view(config) as view, serving(view, directory) as served:
        bound = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in envoy.listeners["web"]]
        view.listeners = [("web", bound)]
        yield Both(envoy, view, served.tcp)


def head(response: Response) -> tuple[int, str, list[tuple[str, str]]]:
    headers = [(name, "*" if name == "date" else value) for name, value in response.headers]
    return response.status, response.reason, headers


@pytest.mark.parity("rule 53")
@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/ready"), ("POST", "/ready"), ("GET", "/quitquitquit"), ("DELETE", "/quitquitquit"),
        ("GET", "/stats?format=bad"), ("GET", "/stats?type=bad"), ("GET", "/stats?filter=("),
        ("GET", "/clusters?filter=("), ("GET", "/listeners"), ("GET", "/listeners?format=json"),
        ("GET", "/listeners?format=bad"), ("GET", "/stats/prometheus?histogram_buckets=detailed"),
        ("GET", "/stats?filter=nothing-has-this-name"), ("GET", "/stats?filter=nothing-has-this-name&format=json"),
        ("GET", "/stats/prometheus?filter=nothing-has-this-name"), ("GET", "/logging"), ("GET", "/healthcheck/fail"),
        ("GET", "/healthcheck/ok"), ("POST", "/healthcheck/ok"), ("GET", "/reset_counters"), ("GET", "/reopen_logs"),
        ("POST", "/reset_counters"), ("POST", "/reopen_logs"), ("GET", "/hot_restart_version"), ("GET", "/init_dump"),
        ("GET", "/drain_listeners"), ("POST", "/drain_listeners?inboundonly"),
    ],
)  # fmt: skip
def test_status_headers_and_body_are_equal(both: Both, method: str, target: str) -> None:
    ours, theirs = both.ask(target, method)
    assert head(ours) == head(theirs)
    assert ours.body == theirs.body


@pytest.mark.parity("rule 73")
@pytest.mark.parametrize("form", ["html", "active-html"])
def test_stats_as_html(both: Both, form: str) -> None:
    target = f"/stats?format={form}&usedonly=on&type=Gauges&histogram_buckets=detailed&filter=%22%3E%3Cb%3Eserver"
    ours, theirs = both.ask(target)
    assert head(ours) == head(theirs)
    assert controls(ours.body) == controls(theirs.body)
    assert b"<b>" not in ours.body


def controls(body: bytes) -> dict[str, tuple[str | None, list[str]]]:
    """Name → (value, choices) of each part of a form; what follows a choice or is ticked has that as its value."""
    found: dict[str, tuple[str | None, list[str]]] = {}

    class Forms(HTMLParser):
        select = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values = dict(attrs)
            if tag == "input":
                ticked = "on" if "checked" in values else None
                name = values.get("name") or (values["id"] or "").removeprefix("active-")
                found[name] = (ticked if values.get("type") == "checkbox" else values.get("value"), [])
            elif tag == "select":
                self.select = values["name"] or ""
                found[self.select] = (None, [])
            elif tag == "option":
                value, choices = found[self.select]
                found[self.select] = (
                    values["value"] if "selected" in values else value,
                    [*choices, values["value"] or ""],
                )

    Forms().feed(body.decode())
    return found


@pytest.mark.parity("rule 73")
@pytest.mark.parametrize(
    "query",
    [
        "", "level=info", "admin=info", "paths=admin:info,dns:info", "level=loud", "admin=loud", "nobody=info",
        "paths=nobody:info", "paths=admin", "paths=admin:", "admin=info&dns=info", "level=warn",
        "level=", "paths=", "admin=", "admin", "paths=admin:info,", "paths=admin:info:debug", "paths=adm*:info",
        "paths=admin:debug,admin:info", "level=&paths=admin:info", "admin=info&dns=", "group=x:info", "group=",
        "level=info&paths=admin:info", "level=&admin=info",
    ],
)  # fmt: skip
def test_logging_is_answered_alike(both: Both, query: str) -> None:
    """Up to the components, which are those of another program."""
    ours, theirs = both.ask(f"/logging?{query}", "POST")
    assert head(ours) == head(theirs)
    assert ours.body.splitlines()[0] == theirs.body.splitlines()[0]
    assert b"\n  admin: info\n" in ours.body
    assert b"\n  admin: info\n" in theirs.body


@pytest.mark.parity("rule 73")
def test_memory_has_envoys_fields(both: Both) -> None:
    ours, theirs = both.ask_json("/memory")
    assert list(ours) == list(theirs)
    assert {type(value) for value in ours.values()} == {type(value) for value in theirs.values()}


@pytest.mark.parity("rule 55")
def test_failed_health_checks_are_answered_alike(both: Both) -> None:
    both.ask("/healthcheck/fail", "POST")
    try:
        ours, theirs = both.ask("/ready")
        assert (head(ours), ours.body) == (head(theirs), theirs.body)
    finally:
        both.ask("/healthcheck/ok", "POST")


@pytest.mark.parity("rule 53")
def test_an_unknown_path_gets_the_help(both: Both) -> None:
    ours, theirs = both.ask("/nope")
    assert head(ours) == head(theirs)
    assert ours.body.splitlines()[:2] == theirs.body.splitlines()[:2]
    assert both.ask("/nope/ready")[0].status == both.ask("/nope/ready")[1].status == 404


@pytest.mark.parity("rule 73")
def test_pages_that_both_have_are_described_alike(both: Both) -> None:
    ours, theirs = (set(answer.body.decode().splitlines()) for answer in both.ask("/help"))
    own = {line for line in ours - theirs if not line.startswith("      ")}
    assert own == {
        "  /drains: print which listeners drain, since when, and their connections, as JSON",
        "  /explain: print what would become of a request, and why",
        "  /hot_restart: print how the last hot restart went, or the present one goes",
        "  /hot_restart/begin (POST): become the code and configuration that are on disk",
        "  /processes: print the processes of this proxy as JSON",
        "  /reload: print how the last reload went, or the present one goes, and the configurations so far",
        "  /reload/begin (POST): apply what has changed in the configuration",
        "  /reload/rollback (POST): apply an earlier configuration again",
        "  /init_dump: dump what is not initialised yet (experimental)",
        "  /sessions: print the oldest downstream connections and what each waits for, as JSON",
        "  /why: print the last failed and slow requests as JSON, newest first",
        "  /workers (POST): change the number of workers and wait until they serve",
    }


@pytest.mark.parity("rule 73")
def test_clusters_as_text(both: Both) -> None:
    ours, theirs = (sorted(answer.body.decode().splitlines()) for answer in both.ask("/clusters"))
    assert ours == theirs


@pytest.mark.parity("rule 73")
def test_clusters_as_text_keep_envoys_order_inside_a_cluster(both: Both) -> None:
    ours, theirs = (answer.body for answer in both.ask("/clusters?filter=back"))
    assert ours == theirs


@pytest.mark.parity("rule 73")
def test_clusters_as_json(both: Both) -> None:
    ours, theirs = both.ask_json("/clusters?format=json")
    by_name = [{status["name"]: status for status in part["cluster_statuses"]} for part in (ours, theirs)]
    assert by_name[0] == by_name[1]
    ours_raw, theirs_raw = (answer.body for answer in both.ask("/clusters?format=json&filter=placed"))
    assert ours_raw == theirs_raw


@pytest.mark.parity("rule 73")
def test_server_info_has_envoys_keys(both: Both) -> None:
    ours, theirs = both.ask_json("/server_info")
    assert list(ours) == list(theirs)
    assert ours["state"] == theirs["state"]
    assert set(ours["command_line_options"]) <= set(theirs["command_line_options"])
    assert set(ours["node"]) - {"user_agent_version"} <= set(theirs["node"])
    for name in ("id", "cluster", "locality"):
        assert ours["node"][name] == theirs["node"][name]
    assert re.fullmatch(r"\d+s", ours["uptime_current_epoch"])
    assert ours["version"].count("/") == theirs["version"].count("/")


def without_times(value: Any) -> Any:
    """Without what differs between any two runs, and what Envoy adds to the node about its own build.

    Envoy's clusters come in the order of a hash map, so they are sorted.
    """
    if isinstance(value, dict):
        gone = ("last_updated", "user_agent_name", "user_agent_build_version", "extensions")
        return {name: without_times(inner) for name, inner in value.items() if name not in gone}
    if isinstance(value, list):
        shown = [without_times(inner) for inner in value]
        return sorted(shown, key=json.dumps) if shown and _SORTED & set(shown[0]) else shown
    return value


_SORTED = {"cluster", "endpoint_config"}


def times(value: Any) -> Iterator[str]:
    """Every `last_updated`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "last_updated":
                yield inner
            yield from times(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from times(inner)


@pytest.mark.parity("rule 73")
@pytest.mark.parametrize(
    "target",
    ["/config_dump", "/config_dump?resource=static_clusters", "/config_dump?resource=static_listeners",
     "/config_dump?resource=static_route_configs", "/config_dump?mask=bootstrap.node.id,bootstrap.admin",
     "/config_dump?resource=static_clusters&mask=cluster.name", "/config_dump?name_regex=b.*",
     "/config_dump?name_regex=ba", "/config_dump?mask=static_clusters", "/config_dump?include_eds",
     "/config_dump?include_eds&resource=static_endpoint_configs", "/config_dump?resource=dynamic_active_clusters",
     "/config_dump?include_eds&resource=static_endpoint_configs&name_regex=placed",
     "/config_dump?resource=static_clusters&name_regex=ba", "/config_dump?mask=bootstrap.layered_runtime"],
)  # fmt: skip
def test_config_dump(both: Both, target: str) -> None:
    ours, theirs = both.ask_json(target)
    assert without_times(ours) == without_times(theirs)
    shape = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
    assert all(shape.fullmatch(time) for time in [*times(ours), *times(theirs)])
    assert len(list(times(ours))) == len(list(times(theirs)))


@pytest.mark.parity("rule 73")
@pytest.mark.parametrize(
    "query",
    [
        "resource=nothing",
        "resource=bootstrap",
        "mask=nothing",
        "mask=static_clusters.cluster",
        "name_regex=(",
        "mask=bootstrap.nothing",
        "mask=bootstrap.static_resources.clusters.name",
    ],
)
def test_config_dump_refuses_in_the_same_words(both: Both, query: str) -> None:
    ours, theirs = both.ask(f"/config_dump?{query}")
    assert (ours.status, ours.body) == (theirs.status, theirs.body)


@pytest.mark.parity("rule 52")
def test_the_gauges_that_we_derive_from_the_view_are_envoys_with_its_values(both: Both) -> None:
    theirs = both.envoy.stats()
    found = json.loads(both.ask("/stats?format=json&type=Gauges")[0].body)["stats"]
    of_the_process = re.compile(r"(http|listener)\.admin\.|server\.|filesystem\.|thread_local_cluster_manager\.")
    ours = {stat["name"]: stat["value"] for stat in found if not of_the_process.match(stat["name"])}
    assert ours
    assert ours == {name: theirs.get(name) for name in ours}


@pytest.mark.parity("rule 52")
def test_the_admin_interface_counts_itself_under_envoys_names(both: Both) -> None:
    ours, theirs = (
        {stat.get("name", "") for stat in json.loads(answer.body)["stats"]}
        for answer in both.ask("/stats?format=json&filter=%5E(http%7Clistener)%5C.admin%5C.&type=Counters")
    )
    assert ours
    assert ours <= theirs


SECRETS = """
static_resources:
  secrets:
  - {name: text, generic_secret: {secret: {inline_string: hush}}}
  - {name: bytes, generic_secret: {secret: {inline_bytes: aHVzaA==}}}
  - {name: file, generic_secret: {secret: {filename: /dev/null}}}
  - {name: tickets, session_ticket_keys: {keys: [{inline_bytes: KEY}]}}
"""


@pytest.mark.parity("rule 73")
def test_secrets_are_blanked_as_envoy_blanks_them() -> None:
    source = SECRETS.replace("KEY", base64.b64encode(b"k" * 80).decode())
    with Envoy(source) as envoy:
        theirs = json.loads(envoy.admin("/config_dump?mask=bootstrap.static_resources").body)["configs"][0]["bootstrap"]
    shown = redact(yaml.safe_load(source), bootstrap_pb2.Bootstrap.DESCRIPTOR)
    assert shown["static_resources"] == theirs["static_resources"]
    assert "hush" not in json.dumps(shown)
