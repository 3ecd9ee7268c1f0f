"""What outlier detection hears of one host in one worker: what came of each request (Envoy's `DetectorHostMonitor`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.config.cluster import Host
from proxy.config.outlier import OutlierDetection
from proxy.upstream.outlier import streaks
from proxy.upstream.outlier.kinds import Kind
from proxy.upstream.tables import HostColumn, Table

_OK, _UNAVAILABLE, _TIMEOUT = 200, 503, 504
_GATEWAY: Final = (502, 503, 504)


class HostMonitor:
    """Failures on our side of the connection count as 503 or 504. `on_streak` hears of each kind of failures in a row
    as soon as there are too many.
    """

    __slots__ = ("_config", "_hosts", "_on_streak", "_slot", "host")

    def __init__(
        self, host: Host, config: OutlierDetection, hosts: Table, on_streak: Callable[[Host, Kind], None]
    ) -> None:
        self.host = host
        self._slot = host.slot
        self._config = config
        self._hosts = hosts
        self._on_streak = on_streak

    def response(self, status: int) -> None:
        """The head of a response has come."""
        if not 500 <= status < 600:
            self._hosts.add(self._slot, HostColumn.OUTLIER_SUCCESS, 1)
            return
        if status in _GATEWAY:
            self._hosts.add(self._slot, HostColumn.OUTLIER_GATEWAY_FAILURE, 1)
            self._fail(Kind.CONSECUTIVE_GATEWAY_FAILURE, self._config.consecutive_gateway_failure)
        else:
            self._hosts.add(self._slot, HostColumn.OUTLIER_5XX, 1)
        self._fail(Kind.CONSECUTIVE_5XX, self._config.consecutive_5xx)

    def connected(self) -> None:
        """A request has its connection: what comes of it will be told."""

    def served(self) -> None:
        """There is a connection, and nothing more will be told of it (TCP)."""
        self.response(_OK)

    def failed(self) -> None:
        """There was no connection, or it ended before the response was complete."""
        self.response(_UNAVAILABLE)

    def timed_out(self, status: int = _TIMEOUT) -> None:
        """We have waited too long; the client gets `status`."""
        self.response(status)

    def _fail(self, kind: Kind, threshold: int) -> None:
        if threshold and streaks.fail(self._hosts, self._slot, streaks.COLUMNS[kind]) >= threshold:
            self._on_streak(self.host, kind)


class SplitHostMonitor(HostMonitor):
    """Keeps failures on our side apart (`split_external_local_origin_errors`)."""

    __slots__ = ()

    def connected(self) -> None:
        self._hosts.add(self._slot, HostColumn.OUTLIER_LOCAL_SUCCESS, 1)

    def served(self) -> None:
        self.connected()

    def failed(self) -> None:
        self._hosts.add(self._slot, HostColumn.OUTLIER_LOCAL_FAILURE, 1)
        self._fail(Kind.CONSECUTIVE_LOCAL_ORIGIN_FAILURE, self._config.consecutive_local_origin_failure)

    def timed_out(self, status: int = _TIMEOUT) -> None:
        self.failed()
