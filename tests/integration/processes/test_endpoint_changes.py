"""Hosts that change while many clusters do not: what has changed is told to those there are and those to come."""

from __future__ import annotations

from tests.integration.processes.family import one, titled, wait_for_workers, workers
from tests.kit.bootstrap import bootstrap, http_listener, route, socket_address, static_cluster, virtual_host
from tests.kit.client import get
from tests.kit.dns_server import DnsServer
from tests.kit.origin import Origin
from tests.kit.process import wait_for
from tests.kit.proxy import Proxy

CARES = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
NAME = "web.example"


def text(origin: Origin, server: DnsServer) -> str:
    resolver = {"@type": CARES, "resolvers": [socket_address("127.0.0.1", server.port)]}
    named = {
        **static_cluster("named", origin.port, host=NAME),
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "dns_refresh_rate": "0.05s",
        "typed_dns_resolver_config": {"name": "resolver", "typed_config": resolver},
    }
    others = [static_cluster(f"other{number}", 1) for number in range(8)]
    told = {"header": {"key": "x-host", "value": "%UPSTREAM_HOST%"}}
    host = {**virtual_host("all", ["*"], route("/", "named")), "response_headers_to_add": [told]}
    return bootstrap([http_listener(host)], [named, *others])


def _another(proxy: Proxy, pid: int) -> bool:
    return any(process.pid != pid for process in titled(proxy, "controller"))


def test_all_workers_learn_of_it() -> None:
    with Origin(host="0.0.0.0") as origin, DnsServer() as server:
        server.add(NAME, "A", "127.0.0.1", ttl=0)
        with Proxy(text(origin, server), concurrency=2) as proxy:

            def move(address: str) -> None:
                server.add(NAME, "A", address, ttl=0)
                everywhere(address)

            def everywhere(address: str) -> None:
                wait_for(
                    lambda: {get(proxy.address()).value("x-host") for _ in range(8)} == {f"{address}:{origin.port}"},
                    deadline=30,
                    what=f"all requests go to {address}",
                )

            everywhere("127.0.0.1")
            move("127.0.0.2")
            move("127.0.0.3")
            victim = workers(proxy)[0]
            victim.kill()
            wait_for(lambda: victim.pid not in {each.pid for each in workers(proxy)}, deadline=30, what="reborn")
            wait_for_workers(proxy, 2)
            everywhere("127.0.0.3")
            controller = one(proxy, "controller")
            controller.kill()
            wait_for_workers(proxy, 2)
            wait_for(lambda: _another(proxy, controller.pid), deadline=30, what="another controller")
            move("127.0.0.4")
            assert f"127.0.0.4:{origin.port}" in proxy.admin("/clusters").body.decode()
