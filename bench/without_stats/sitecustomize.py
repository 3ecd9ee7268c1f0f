"""With this directory on PYTHONPATH, our processes write no stats: what the stats cost is the difference.

Each write becomes the cheapest call that there is (`bool`, which takes no argument or one, is C). That call itself
stays, so the true price is a little higher. `bench.subjects.trireme` makes sure that the counters indeed stand still.
"""

from __future__ import annotations

from typing import Any

from shm import metrics_writer

_NOTHING: Any = staticmethod(bool)

metrics_writer.Counter.inc = _NOTHING  # type: ignore[method-assign]
metrics_writer.Gauge.add = _NOTHING  # type: ignore[method-assign]
metrics_writer.Gauge.set = _NOTHING  # type: ignore[method-assign]
metrics_writer.Histogram.record = _NOTHING  # type: ignore[method-assign]
