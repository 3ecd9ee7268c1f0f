"""Metrics in shared memory: one region per process slot, written by one process, read by any.

The format is `shm.layout`; this file is the front door.
"""

from __future__ import annotations

from shm.metrics_reader import Metrics, MetricsReader
from shm.metrics_writer import Counter, Gauge, Histogram, MetricsWriter
from shm.region import RegionError, create_region, zero_gauges

__all__ = [
    "Counter",
    "Gauge",
    "Histogram",
    "Metrics",
    "MetricsReader",
    "MetricsWriter",
    "RegionError",
    "create_region",
    "zero_gauges",
]
