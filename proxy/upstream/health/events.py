"""The event log of health checks: one line of JSON for each `data.core.v3.HealthCheckEvent`, as Envoy writes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from proxy.config.cluster import Host, LocalityHosts
from proxy.config.common import Address, PipeAddress
from proxy.config.health_check import HealthCheck
from proxy.upstream.health.verdicts import Event

WriteLine = Callable[[bytes], None]
OpenLog = Callable[[str], WriteLine]
"""Opens the file at a path; what it gives takes lines, and never waits."""

EARLY: Final = ("eject_unhealthy_event", "add_healthy_event")
LATE: Final = ("successful_health_check_event",)
"""Where an event stands among the fields, by their numbers; all others between the time and the locality."""


class EventLog:
    """Of the checks of one cluster, whose hosts are in `places`."""

    def __init__(self, cluster: str, config: HealthCheck, open_log: OpenLog) -> None:
        self._cluster = cluster
        self._kind = type(config.kind).__struct_config__.tag
        self._outputs = [open_log(path) for path in config.event_logs]
        self.places: Mapping[Host, LocalityHosts] = {}

    def write(self, host: Host, events: Iterable[Event]) -> None:
        """Have what has happened to `host` written."""
        if not self._outputs:
            return
        for event in events:
            line = msgspec.json.encode(dict(self._fields(host, event))) + b"\n"
            for write in self._outputs:
                write(line)

    def _fields(self, host: Host, event: Event) -> Iterator[tuple[str, Any]]:
        yield "health_checker_type", self._kind
        yield "host", _address(host.address)
        yield "cluster_name", self._cluster
        if event.name in EARLY:
            yield event.name, dict(_details(event))
        yield "timestamp", _timestamp(time.time())
        if event.name not in EARLY + LATE:
            yield event.name, dict(_details(event))
        if host.metadata:
            yield (
                "metadata",
                {
                    "filter_metadata": {name: msgspec.json.decode(struct) for name, struct in host.metadata},
                    "typed_filter_metadata": {},
                },
            )
        place = self.places.get(host) or LocalityHosts(0, ())
        yield "locality", {"region": place.region, "zone": place.zone, "sub_zone": place.sub_zone}
        if event.name in LATE:
            yield event.name, {}


def _details(event: Event) -> Iterator[tuple[str, Any]]:
    if event.failure is not None:
        yield "failure_type", event.failure
    if event.first is not None:
        yield "first_check", event.first
    if event.failure is not None:
        yield "http_status_code", event.status


def _address(address: Address) -> dict[str, Any]:
    if isinstance(address, PipeAddress):
        return {"pipe": {"path": address.path, "mode": address.mode}}
    return {
        "socket_address": {
            "protocol": "TCP",
            "address": address.host,
            "port_value": address.port,
            "resolver_name": "",
            "ipv4_compat": False,
            "network_namespace_filepath": "",
        }
    }


def _timestamp(now: float) -> str:
    """RFC 3339 with milliseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    return f"{whole}.{int(now % 1 * 1000):03d}Z"
