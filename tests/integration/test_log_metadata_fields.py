"""Fields of filters of access logs that look at metadata, or at tracing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.test_fields import one_listener
from tests.integration.test_log_moment_fields import GET, logger
from tests.kit.bootstrap import ROUTER, bootstrap, http_listener, virtual_host
from tests.unit.proxy.rig import serving

SET_METADATA = "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config"
LOG = "envoy.config.accesslog.v3"


def logged(path: Path, condition: dict[str, Any]) -> int:
    """How many entries there are for one request, whose metadata says `ns: {key: value}`."""
    reply = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    values = {"metadata": [{"metadata_namespace": "ns", "value": {"key": "value"}}]}
    listener = http_listener(
        virtual_host("v", ["*"], reply),
        access_log=[{**logger(path), "filter": condition}],
        http_filters=[
            {"name": "metadata", "typed_config": {"@type": SET_METADATA, **values}},
            {"name": "router", "typed_config": {"@type": ROUTER}},
        ],
    )

    async def run() -> None:
        async with serving(one_listener(bootstrap([listener], []))) as rig:
            await rig.ask(GET)
            await rig.quiet()
            await rig.stop()

    trio.run(run)
    return len(path.read_text().splitlines()) if path.exists() else 0


def metadata(key: str, wanted: str, **fields: Any) -> dict[str, Any]:
    matcher = {"filter": "ns", "path": [{"key": key}], "value": {"string_match": {"exact": wanted}}}
    return {"metadata_filter": {"matcher": matcher, **fields}}


@pytest.mark.field(f"{LOG}.AccessLogFilter.metadata_filter")
@pytest.mark.field(f"{LOG}.MetadataFilter.matcher")
def test_a_value_that_is_another_one(tmp_path: Path) -> None:
    assert logged(tmp_path / "log", metadata("key", "value")) == 1
    assert logged(tmp_path / "other", metadata("key", "other")) == 0


@pytest.mark.field(f"{LOG}.MetadataFilter.match_if_key_not_found")
def test_a_value_that_is_not_there(tmp_path: Path) -> None:
    assert logged(tmp_path / "log", metadata("nothing", "value")) == 1
    assert logged(tmp_path / "other", metadata("nothing", "value", match_if_key_not_found=False)) == 0


@pytest.mark.field(f"{LOG}.AccessLogFilter.extension_filter")
@pytest.mark.field(f"{LOG}.ExtensionFilter.typed_config")
@pytest.mark.field("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter.expression")
def test_an_expression(tmp_path: Path) -> None:
    def expression(text: str) -> dict[str, Any]:
        kind = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
        return {"extension_filter": {"name": "cel", "typed_config": {"@type": kind, "expression": text}}}

    path = tmp_path / "log"
    assert logged(path, expression("response.code == 200 && request.method == 'GET'")) == 1
    assert logged(tmp_path / "other", expression("metadata.filter_metadata['ns']['key'] == 'other'")) == 0


@pytest.mark.field(f"{LOG}.AccessLogFilter.traceable_filter")
def test_nothing_is_traced(tmp_path: Path) -> None:
    assert logged(tmp_path / "log", {"traceable_filter": {}}) == 0
