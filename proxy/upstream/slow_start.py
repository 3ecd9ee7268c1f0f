"""Slow start: a host that has just become healthy gets a part of its weight, which grows until the window is over.

Pure: Envoy's `EdfLoadBalancerBase::applySlowStartFactor`; what the time is, is given in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from proxy.config.cluster import Host
from proxy.config.common import Address
from proxy.config.lb import SlowStart as Config

_LEAST_AGE = 0.001  # seconds
_LEAST_FACTOR = 1e-9  # so that a host's turn comes, whatever the options


class SlowStart:
    """`now` tells the time in seconds."""

    __slots__ = ("_config", "_now", "_over", "_since")

    def __init__(self, config: Config, now: Callable[[], float]) -> None:
        self._config = config
        self._now = now
        self._since: dict[Address, float] = {}
        self._over = -math.inf

    def update(self, healthy: Iterable[Host]) -> None:
        """These are healthy now; those that were already go on where they are."""
        now, known = self._now(), self._since
        self._since = {host.address: known.get(host.address, now) for host in healthy}
        self._over = max(self._since.values(), default=-math.inf) + self._config.window

    @property
    def active(self) -> bool:
        """Whether any host is within its window."""
        return self._now() < self._over

    def factor(self, host: Host) -> float:
        """The part of its weight that a host gets: 1 for those that are not healthy, too."""
        config, now = self._config, self._now()
        since = self._since.get(host.address) if now < self._over else None
        if since is None or now - since >= config.window:
            return 1.0
        passed = max(now - since, _LEAST_AGE) / config.window
        return float(max(passed ** (1 / config.aggression), config.min_weight, _LEAST_FACTOR))
