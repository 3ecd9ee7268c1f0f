"""What reloads have changed, for `listener_manager.*` and `cluster_manager.*`; it outlives controllers and an exec."""

from __future__ import annotations

import collections
import time
from typing import Any


class Effects:
    """`changes` are those of the last reload, or the one under way (`proxy.changes.Change`)."""

    def __init__(self) -> None:
        self.changes: list[dict[str, Any]] = []
        self._counts: collections.Counter[str] = collections.Counter()
        self._draining: list[tuple[float, bool]] = []  # until when (monotonic), and whether only filter chains

    def begin(self, *, listeners: int, clusters: int, workers: int) -> None:
        """A generation serves: everything of its configuration is new."""
        self._counts["listener_manager.listener_added"] += listeners
        self._counts["listener_manager.listener_create_success"] += listeners * workers
        self._counts["cluster_manager.cluster_added"] += clusters
        self._draining.clear()

    def count(self, workers: int, *, drain_time: float) -> None:
        """`changes` are in effect, in so many workers."""
        now = time.monotonic()
        for change in self.changes:
            if change["kind"] == "cluster":
                how = change["how"] if change["how"] in ("added", "removed") else "modified"
                self._counts[f"cluster_manager.cluster_{how}"] += 1
                continue
            how = change["how"] if change["how"] in ("added", "removed") else "modified"
            self._counts[f"listener_manager.listener_{how}"] += 1
            if how != "removed":
                self._counts["listener_manager.listener_create_success"] += workers
            if change["chains_only"]:
                self._counts["listener_manager.listener_in_place_updated"] += 1
            if change["how"] in ("removed", "drains"):
                self._draining.append((now + drain_time, change["chains_only"]))

    def status(self) -> dict[str, Any]:
        return {"changes": self.changes, "counts": dict(self._counts), "draining": self._draining}

    def adopt(self, state: dict[str, Any]) -> None:
        """The inverse of `status`, over an exec."""
        self._counts.update(state["counts"])
        self._draining = [(until, chains_only) for until, chains_only in state["draining"]]
