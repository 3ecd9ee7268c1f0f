"""The event log of outlier detection: a line of JSON per ejection and return (`OutlierDetectionEvent`)."""

from __future__ import annotations

import datetime
import json
from typing import Any

from proxy.upstream.outlier.kinds import Kind
from proxy.upstream.outlier.statistics import Verdict

_BY_RATE = (Kind.SUCCESS_RATE, Kind.SUCCESS_RATE_LOCAL_ORIGIN)
_BY_FAILURES = (Kind.FAILURE_PERCENTAGE, Kind.FAILURE_PERCENTAGE_LOCAL_ORIGIN)


def ejected(
    kind: Kind, common: dict[str, Any], *, enforced: bool, rate: float = -1.0, verdict: Verdict | None = None
) -> bytes:
    """A host was found out, and ejected if it was `enforced`. `common` is what `about` says of it; `rate` and `verdict`
    are those that it was judged by.
    """
    return _line(
        {"type": kind.name},
        common,
        action="EJECT",
        enforced=enforced,
        detail=_detail(kind, rate, verdict or Verdict()),
    )


def unejected(common: dict[str, Any]) -> bytes:
    """A host is back. Envoy writes a type here, too, which says nothing: the first one."""
    return _line({"type": Kind.CONSECUTIVE_5XX.name}, common, action="UNEJECT", enforced=False, detail={})


def about(cluster: str, host: str, *, ejections: int, seconds: int | None) -> dict[str, Any]:
    """What every event says: of which host, how often it has been ejected, how long ago its last change was."""
    since = {} if seconds is None else {"secs_since_last_action": str(seconds)}
    return {**since, "cluster_name": cluster, "upstream_url": host, "num_ejections": ejections}


def _detail(kind: Kind, rate: float, verdict: Verdict) -> dict[str, Any]:
    if kind in _BY_RATE:
        return {
            "eject_success_rate_event": {
                "host_success_rate": _whole(rate),
                "cluster_average_success_rate": _whole(verdict.average),
                "cluster_success_rate_ejection_threshold": _whole(verdict.threshold),
            }
        }
    if kind in _BY_FAILURES:
        return {"eject_failure_percentage_event": {"host_success_rate": _whole(rate)}}
    return {"eject_consecutive_event": {}}


def _whole(rate: float) -> int:
    """The message has unsigned integers."""
    return max(0, int(rate))


def _line(
    kind: dict[str, Any], common: dict[str, Any], *, action: str, enforced: bool, detail: dict[str, Any]
) -> bytes:
    """In the order of the message's fields, as protobuf writes them."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    ejections = common["num_ejections"]
    before = {name: value for name, value in common.items() if name != "num_ejections"}
    event = {**kind, "timestamp": now, **before, "action": action, "num_ejections": ejections, "enforced": enforced}
    return json.dumps({**event, **detail}, separators=(",", ":")).encode() + b"\n"
