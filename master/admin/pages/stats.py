"""`/stats`: counters, gauges and histograms of all processes, as text, JSON, or in Prometheus' format."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import trio

from master.admin import parameters, stats_html
from master.admin.gauges import known
from master.admin.page import HTML, JSON, BadRequest, Context, Reply, Request
from master.admin.pages import PAGES
from master.stats import json, prometheus, text
from master.stats.snapshot import Snapshot, take
from master.stats.socket_matches import counted

FORMATS = ("html", "active-html", "json", "prometheus", "text")
TYPES = ("All", "Counters", "Histograms", "Gauges", "TextReadouts")


async def page(request: Request, context: Context) -> Reply:
    query = request.query
    usage = f"usage: /stats?format=({'|'.join(FORMATS)})\n\n"
    form = parameters.choice(query, "format", FORMATS, usage)
    if form == "prometheus":
        return await exposition(request, context)
    buckets = f"usage: /stats?histogram_buckets=({'|'.join(mode for mode in text.MODES if mode)})\n"
    mode = parameters.choice(query, "histogram_buckets", text.MODES, buckets)
    wanted = parameters.choice(query, "type", TYPES, "invalid &type= param")
    if form == "active-html":
        parameters.name_filter(query)  # what it would ask for must be an expression
        return Reply("".join(stats_html.active(_parameters(), query)).encode(), HTML)
    stats = snapshot(request, context)

    def render() -> Reply:
        chosen = of_type(stats(), wanted)
        if form == "json":
            return Reply(json.render(chosen, mode), JSON)
        if form == "html":
            return Reply("".join(stats_html.page(_parameters(), query, text.render(chosen, mode))).encode(), HTML)
        return Reply("".join(text.render(chosen, mode)).encode())

    return await trio.to_thread.run_sync(render, abandon_on_cancel=True)


async def exposition(request: Request, context: Context) -> Reply:
    """The stats in Prometheus' text format."""
    mode = request.query.get("histogram_buckets", "")
    if mode not in prometheus.MODES:
        raise BadRequest("unsupported prometheus histogram bucket mode")
    stats = snapshot(request, context)

    def render() -> Reply:
        return Reply("".join(prometheus.render(stats(), mode)).encode())

    return await trio.to_thread.run_sync(render, abandon_on_cancel=True)


def snapshot(request: Request, context: Context) -> Callable[[], Snapshot]:
    """Reads the stats now; the result makes of them what `filter`, `invert_filter` and `usedonly` leave.

    It is called in a thread, as is rendering: with 1,000 clusters both take most of a second, which the controller's
    loop must not be without (its heartbeat is watched).
    """
    keep = parameters.name_filter(request.query)
    used_only = "usedonly" in request.query
    metrics, gauges, intervals = context.view.metrics(), known(context.view), context.intervals.last
    for cluster in context.view.config.clusters:
        metrics.counters.update(counted(cluster, context.view.endpoints.clusters.get(cluster.name)))
    return lambda: take(metrics, gauges, intervals).select(keep, used_only=used_only)


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


def _parameters() -> tuple[stats_html.Parameter, ...]:
    """Those of this page, for its form."""
    return next(page.parameters for page in PAGES if page.path == "/stats")
