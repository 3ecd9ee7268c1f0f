"""Outlier detection hears the same of the express lane as of the general path (see `test_express.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.config.bootstrap import CompiledConfig
from proxy.config.outlier import OutlierDetection
from proxy.upstream.tables import HostColumn
from tests.property.express import proxied
from tests.property.express.proxied import assert_same, run
from tests.property.express.traffic import SCRIPTS, Answer, Step, sized

GET = b"GET /a HTTP/1.1\r\nhost: o\r\n\r\n"
GRPC = b"GET /a HTTP/1.1\r\nhost: o\r\ncontent-type: application/grpc\r\n\r\n"
DOWN = Answer((sized(b"bad", status=b"503 Service Unavailable"),))
COUNTED = (
    HostColumn.OUTLIER_SUCCESS,
    HostColumn.OUTLIER_5XX,
    HostColumn.OUTLIER_GATEWAY_FAILURE,
    HostColumn.OUTLIER_LOCAL_SUCCESS,
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(script=SCRIPTS, split=st.booleans())
@example(script=[Step(GET, DOWN)] * 6, split=False)
@example(script=[Step(GRPC, Answer((sized(b"", b"grpc-status: 14\r\n"),)))] * 6, split=True)
def test_the_lane_tells_what_it_has_seen(
    script: list[Step], split: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One host alone is never ejected by default, but it is found out."""
    plain = proxied.compiled
    detection = OutlierDetection(split_external_local_origin_errors=split, consecutive_5xx=3)

    def detecting(*arguments: Any, **options: Any) -> CompiledConfig:
        config = plain(*arguments, **options)
        clusters = tuple(msgspec.structs.replace(cluster, outlier=detection) for cluster in config.clusters)
        return msgspec.structs.replace(config, clusters=clusters)

    with monkeypatch.context() as patch:
        patch.setattr(proxied, "compiled", detecting)
        with_lane, without = (
            run(script, tmp_path / "log", lane=lane, monkeypatch=monkeypatch) for lane in (True, False)
        )
    assert_same(with_lane, without, service_time=True)
    assert sum(with_lane.tables[0].get((0, column), 0) for column in COUNTED) >= len(with_lane.to_origin)
