"""Stat handles of one cluster's outlier detection, `cluster.<name>.outlier_detection.*`."""

from __future__ import annotations

from proxy.stats import Stats
from proxy.upstream.outlier.kinds import Kind


class OutlierStats:
    """Envoy's names without the prefix; what has been replaced by other names is still counted, as in Envoy."""

    def __init__(self, stats: Stats, stat_name: str) -> None:
        prefix = f"cluster.{stat_name}.outlier_detection.ejections_"
        counter = stats.counter
        self.active = stats.gauge(f"{prefix}active")
        self.overflow = counter(f"{prefix}overflow")
        self.enforced_total = counter(f"{prefix}enforced_total")
        self.detected = {kind: counter(f"{prefix}detected_{kind.value}") for kind in Kind}
        self.enforced = {kind: counter(f"{prefix}enforced_{kind.value}") for kind in Kind}
        counter(f"{prefix}detected_degradation")  # of what Envoy has and nobody can ask for here
        self.total = counter(f"{prefix}total")
        self.consecutive_5xx = counter(f"{prefix}consecutive_5xx")
        self.success_rate = counter(f"{prefix}success_rate")
