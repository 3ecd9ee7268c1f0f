"""ORIGINAL_DST: which host a request is for, and what becomes of one that is for none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.bootstrap import Fields, bootstrap, http_listener, route, virtual_host
from tests.kit.origin import Origin
from tests.kit.parity import Pair, run_pair
from tests.parity.rules import of

pytestmark = pytest.mark.parity(
    "rule 70",
    *of("config.cluster.v3.Cluster", "type", "original_dst_lb_config", "cleanup_interval"),
    *of(
        "config.cluster.v3.Cluster.OriginalDstLbConfig",
        "use_http_header",
        "http_header_name",
        "upstream_port_override",
        "metadata_key",
    ),
)
TYPES = "type.googleapis.com/envoy.extensions"
DEFAULT = "x-envoy-original-dst-host"
CASES = {
    "no_header": ("plain", ""),
    "header": ("plain", f"{DEFAULT}: 127.0.0.2:%d\r\n"),
    "header_of_its_own": ("named", "x-to: 127.0.0.2:%d\r\n"),
    "another_header": ("named", f"{DEFAULT}: 127.0.0.2:%d\r\n"),
    "first_of_two": ("named", "x-to: 127.0.0.2:%d\r\nx-to: 127.0.0.3:1\r\n"),
    "a_name": ("plain", f"{DEFAULT}: localhost:%d\r\n"),
    "no_port": ("plain", f"{DEFAULT}: 127.0.0.2\r\n"),
    "another_port": ("override", f"{DEFAULT}: 127.0.0.2:1\r\n"),
    "metadata": ("metadata", f"{DEFAULT}: 127.0.0.3:1\r\n"),
    "nothing_asked_for": ("nothing", ""),
}


def cluster(name: str, **config: object) -> Fields:
    fields: Fields = {"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "cleanup_interval": "1s"}
    return {**fields, **({"original_dst_lb_config": config} if config else {})}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with Origin(host="0.0.0.0") as origin:
        yield origin.port


@pytest.fixture(scope="module")
def pair(port: int) -> Iterator[Pair]:
    metadata = {
        "name": "metadata",
        "typed_config": {
            "@type": f"{TYPES}.filters.http.set_metadata.v3.Config",
            "metadata": [{"metadata_namespace": "ns", "value": {"to": [f"127.0.0.2:{port}"]}}],
        },
    }
    clusters = [
        cluster("nothing"),
        cluster("plain", use_http_header=True),
        cluster("named", use_http_header=True, http_header_name="x-to"),
        cluster("override", use_http_header=True, upstream_port_override=port),
        cluster("metadata", use_http_header=True, metadata_key={"key": "ns", "path": [{"key": "to"}]}),
    ]
    told = {"header": {"key": "x-went-to", "value": "%UPSTREAM_HOST%"}}
    host = {
        **virtual_host("all", ["*"], *(route(f"/{each['name']}", each["name"]) for each in clusters)),
        "response_headers_to_add": [told],
    }
    listener = http_listener(host)
    filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    filters.insert(0, metadata)
    listener["listener_filters"] = [
        {"name": "original", "typed_config": {"@type": f"{TYPES}.filters.listener.original_dst.v3.OriginalDst"}}
    ]
    rows = {r"cluster\.\w+\.(membership_\w+|default\.total_match_count)": "docs/parity.md: one row for all hosts"}
    with run_pair(bootstrap([listener], clusters), otherwise=rows) as found:
        yield found


@pytest.mark.parametrize("case", CASES)
def test_where_requests_go(case: str, pair: Pair, port: int) -> None:
    name, headers = CASES[case]
    text = headers % port if "%d" in headers else headers
    request = f"GET /{name} HTTP/1.1\r\nHost: x\r\n{text}\r\n".encode()
    answers = pair.send(request * 2, responses=2)
    for envoy, ours in zip(answers.envoy.responses, answers.ours.responses, strict=True):
        assert (ours.status, ours.value("x-went-to")) == (envoy.status, envoy.value("x-went-to"))
        if envoy.status != 200:
            assert ours.body == envoy.body
