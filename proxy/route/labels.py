"""Labels of load balancing: what hosts say of themselves under `envoy.lb`, and what requests ask of them. No I/O."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from proxy.config.cluster import HostMetadata
from proxy.config.lb_subsets import Labels

LB = "envoy.lb"
"""The metadata of load balancing."""


def canonical(value: object) -> str:
    """JSON that is the same for equal values of a `google.protobuf.Value`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def labels_of(struct: Mapping[str, Any]) -> Labels:
    """Those of dynamic metadata, whose numbers are the doubles of a Struct once they are compared."""
    return tuple((key, canonical(_doubles(struct[key]))) for key in sorted(struct))


def merged(labels: Labels, over: Labels) -> Labels:
    """`labels` with `over` over them (`MetadataMatchCriteria::mergeMatchCriteria`)."""
    return tuple(sorted({**dict(labels), **dict(over)}.items())) if over else labels


@functools.lru_cache(maxsize=4096)
def host_labels(metadata: HostMetadata) -> Mapping[str, tuple[str, ...]]:
    """What the metadata of a host says under `envoy.lb`: key → its value and, behind it, each element of a list."""
    fields = json.loads(dict(metadata).get(LB, "{}"))
    return {
        key: (canonical(value), *(map(canonical, value) if isinstance(value, list) else ()))
        for key, value in fields.items()
    }


def _doubles(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            return value
    if isinstance(value, list):
        return [_doubles(part) for part in value]
    if isinstance(value, Mapping):
        return {key: _doubles(part) for key, part in value.items()}
    return value
