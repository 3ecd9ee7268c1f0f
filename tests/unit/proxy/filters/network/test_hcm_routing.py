"""When the route of an exchange is chosen, and chosen again."""

from __future__ import annotations

import pytest

from proxy.python_filter import Exchange, Filter
from proxy.route.table import RouteTable
from tests.kit.config import bootstrap, compiled, routes
from tests.kit.trio import run_trio
from tests.unit.proxy.rig import serving
from tests.unit.route.requests import request

MODULE = "{name: tests.unit.proxy.filters.network.test_hcm_routing}"
HTTP_FILTERS = f"""
- name: marks
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
    dynamic_module_config: {MODULE}
    filter_name: Marks
- name: router
  typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"""
ASKED = "filter: test, path: [{key: user}], value: {string_match: {exact: ada}}"
ROUTES = f"""
name: r
virtual_hosts:
- name: v
  domains: ["*"]
  routes:
  - match: {{prefix: /, dynamic_metadata: [{{{ASKED}}}]}}
    name: by-metadata
    direct_response: {{status: 201}}
  - match: {{prefix: /, filter_state: [{{key: test.user, string_match: {{exact: ada}}}}]}}
    direct_response: {{status: 202}}
  - match: {{prefix: /moved}}
    direct_response: {{status: 203}}
  - match: {{prefix: /gone}}
    name: gone
    route: {{cluster: origin}}
  - match: {{path: /}}
    name: first
    direct_response: {{status: 204}}
"""


class Marks(Filter):
    """Does what the request's headers say."""

    def on_request_headers(self, exchange: Exchange) -> None:
        names = exchange.request.headers
        if b"x-clear" in names:
            exchange.clear_route_cache()
        if value := names.get(b"x-metadata"):
            exchange.info.set_dynamic_metadata("test", {"user": value.decode()})
        if value := names.get(b"x-state"):
            exchange.info.set_filter_state("test.user", value)
        if value := names.get(b"x-path"):
            exchange.request.path = value
        assert (exchange.route.route.name if exchange.route is not None else "") == exchange.info.route_name


@pytest.mark.field(
    "envoy.config.route.v3.Route.metadata",
    "envoy.config.route.v3.VirtualHost.metadata",
    "envoy.config.core.v3.Metadata.filter_metadata",
)
def test_routes_and_virtual_hosts_carry_their_metadata() -> None:
    route = "{match: {prefix: /}, direct_response: {status: 200}, metadata: {filter_metadata: {a: {b: [1, c]}}}}"
    host = f"{{name: v, domains: ['*'], metadata: {{filter_metadata: {{d: {{e: null}}}}}}, routes: [{route}]}}"
    entry = RouteTable(routes(bootstrap(route_config=f"{{name: r, virtual_hosts: [{host}]}}"))).match(request())
    assert entry is not None
    assert entry.route.metadata == {"a": {"b": [1, "c"]}}
    assert entry.virtual_host.metadata == {"d": {"e": None}}


@run_trio
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("", 204),
        ("x-metadata: ada\r\n", 204),
        ("x-metadata: ada\r\nx-clear: 1\r\n", 201),
        ("x-metadata: bob\r\nx-clear: 1\r\n", 204),
        ("x-state: ada\r\nx-clear: 1\r\n", 202),
        ("x-path: /moved\r\n", 204),
        ("x-path: /moved\r\nx-clear: 1\r\n", 203),
        ("x-path: /nowhere\r\nx-clear: 1\r\n", 404),
    ],
)
async def test_the_route_is_chosen_again_when_a_filter_says_so(lines: str, status: int) -> None:
    text = bootstrap(http_filters=HTTP_FILTERS, route_config=ROUTES).replace("name: main", "name: l")
    async with serving(compiled(text)) as rig:
        head = f"GET / HTTP/1.1\r\nhost: a\r\n{lines}connection: close\r\n\r\n"
        assert (await rig.ask(head.encode())).startswith(b"HTTP/1.1 %d " % status)
        await rig.quiet()
