"""What a worker's garbage collector looks at while it serves: not the configuration."""

from __future__ import annotations

from pathlib import Path

from tests.kit.bootstrap import ROUTER, bootstrap, http_listener, route, static_cluster, virtual_host
from tests.kit.client import get
from tests.kit.proxy import Proxy

FILTER = """
import gc
from proxy.python_filter import Filter, local_reply

class Answer(Filter):
    '''Tells how many route entries, and how many of its own kind, the collector would look at.'''

    async def __call__(self, exchange, call_next):
        newborn = Answer.__new__(Answer)
        names = [type(found).__name__ for found in gc.get_objects()]
        raise local_reply(200, f"{names.count('RouteEntry')} {names.count('Answer')}", detail="counted")
"""


def test_a_full_collection_does_not_look_at_the_routes(tmp_path: Path) -> None:
    """With 10,000 routes it would stop every connection for 0.2 s."""
    (tmp_path / "answer.py").write_text(FILTER)
    kind = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
    answer = {"@type": kind, "dynamic_module_config": {"name": "answer"}, "filter_name": "Answer"}
    filters = [
        {"name": "answer", "typed_config": answer},
        {"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}},
    ]
    host = virtual_host("v", ["*"], *(route(f"/{number}/", "origin") for number in range(100)))
    config = bootstrap([http_listener(host, http_filters=filters)], [static_cluster("origin", 1)])
    with Proxy(config, arguments=["--filter-path", str(tmp_path)]) as proxy:
        response = get(proxy.address(), "/7/")
    assert response.status == 200
    assert response.body == b"0 1", "route entries, and what was made after the start"
