"""`/stats`: counters, gauges and histograms of all processes, as text, JSON, or in Prometheus' format."""

from __future__ import annotations

import dataclasses

from master.admin import parameters
from master.admin.gauges import known
from master.admin.page import JSON, BadRequest, Context, Reply, Request
from master.stats import json, prometheus, text
from master.stats.snapshot import Snapshot, take

FORMATS = ("text", "json", "prometheus")
TYPES = ("All", "Counters", "Gauges", "Histograms", "TextReadouts")


async def page(request: Request, context: Context) -> Reply:
    query = request.query
    usage = f"usage: /stats?format=({'|'.join(sorted(FORMATS))})\n\n"
    form = parameters.choice(query, "format", FORMATS, usage)
    if form == "prometheus":
        return exposition(request, context)
    buckets = f"usage: /stats?histogram_buckets=({'|'.join(mode for mode in text.MODES if mode)})\n"
    mode = parameters.choice(query, "histogram_buckets", text.MODES, buckets)
    stats = of_type(snapshot(request, context), parameters.choice(query, "type", TYPES, "invalid &type= param"))
    if form == "json":
        return Reply(json.render(stats, mode), JSON)
    return Reply("".join(text.render(stats, mode)).encode())


def exposition(request: Request, context: Context) -> Reply:
    """The stats in Prometheus' text format."""
    mode = request.query.get("histogram_buckets", "")
    if mode not in prometheus.MODES:
        raise BadRequest("unsupported prometheus histogram bucket mode")
    return Reply("".join(prometheus.render(snapshot(request, context), mode)).encode())


def snapshot(request: Request, context: Context) -> Snapshot:
    """The stats that `filter`, `invert_filter` and `usedonly` leave."""
    keep = parameters.name_filter(request.query)
    everything = take(context.view.metrics(), known(context.view), context.intervals.last)
    return everything.select(keep, used_only="usedonly" in request.query)


def of_type(stats: Snapshot, wanted: str) -> Snapshot:
    """Only the stats of one type; "" and "All" keep everything."""
    if wanted in ("", "All"):
        return stats
    return dataclasses.replace(
        stats,
        counters=stats.counters if wanted == "Counters" else {},
        gauges=stats.gauges if wanted == "Gauges" else {},
        histograms=stats.histograms if wanted == "Histograms" else {},
    )
