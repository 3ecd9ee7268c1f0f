"""The table of admin pages: one file and one line each. Dispatch, `/help` and the home page read it."""

from __future__ import annotations

import functools
import importlib
from typing import cast

from master.admin.page import Handler, Page
from proxy.log import LEVELS

_FILTER = ("filter", "Regular expression (Google re2) for filtering stats", ())
_INVERT = ("invert_filter", "Invert the filter regex", ())
_USED = ("usedonly", "Only include stats that have been written by system since restart", ())
_MASK = ("mask", "The desired component to dump unready targets: listener or cluster", ())
_TYPES = ("All", "Counters", "Histograms", "Gauges", "TextReadouts")
_BUCKETS = ("cumulative", "disjoint", "detailed", "summary")

PAGES = (
    Page("/", "Admin home page", "index:page"),
    Page(
        "/certs",
        "print certs on machine",
        "certs:page",
        parameters=(("usage", "Add where each is used, and whose it is", ()),),
    ),
    Page(
        "/clusters",
        "upstream cluster status",
        "clusters:page",
        parameters=(
            ("filter", "Regular expression (Google re2) for filtering clusters by name", ()),
            ("format", "File format to use", ("text", "json")),
        ),
    ),
    Page(
        "/config_dump",
        "dump current Envoy configs",
        "config_dump:page",
        parameters=(
            ("resource", "The resource to dump", ()),
            ("mask", "The fields to keep, as a protobuf FieldMask; with resource, of each of its elements", ()),
            ("name_regex", "Dump only the configurations whose names match the regular expression", ()),
            ("include_eds", "Dump the endpoints of the clusters as well", ()),
        ),
    ),
    Page(
        "/drain_listeners",
        "drain listeners",
        "drain_listeners:page",
        mutates=True,
        parameters=(
            ("graceful", "Close the listeners only when the drain time is over", ()),
            ("skip_exit", "Drain the connections but never close the listeners", ()),
            ("inboundonly", "Only listeners whose traffic_direction is INBOUND", ()),
            ("listener", "Only the listener of this name", ()),
            ("undo", "Take a drain back; closed listeners open again", ()),
        ),
    ),
    Page(
        "/drains",
        "print which listeners drain, since when, and their connections, as JSON",
        "drains:page",
        parameters=(("holders", "Also the oldest connections of those that drain", ()),),
    ),
    Page(
        "/explain",
        "print what would become of a request, and why",
        "explain:page",
        parameters=(
            ("method", "Its method", ()),
            ("url", "Its URL; host and port say which listener is asked", ()),
            ("header", "A header line, such as x-env: prod; may come several times", ()),
            ("source", "The address that it comes from", ()),
            ("listener", "The listener, if the URL does not tell which", ()),
            ("random", "The number that decides where chance would", ()),
            ("format", "File format to use", ("text", "json")),
        ),
    ),
    Page("/healthcheck/fail", "cause the server to fail health checks", "healthcheck:fail", mutates=True),
    Page("/healthcheck/ok", "cause the server to pass health checks", "healthcheck:ok", mutates=True),
    Page("/help", "print out list of admin commands", "help:page"),
    Page("/hot_restart", "print how the last hot restart went, or the present one goes", "hot_restart:page"),
    Page(
        "/hot_restart/begin",
        "become the code and configuration that are on disk",
        "hot_restart:begin",
        mutates=True,
        parameters=(
            ("ready_timeout", "Seconds for the new generation to become ready", ()),
            ("canary", "Seconds for which one worker of it is tried first", ()),
        ),
    ),
    Page("/hot_restart_version", "print the hot restart compatibility version", "hot_restart_version:page"),
    Page("/init_dump", "dump what is not initialised yet (experimental)", "init_dump:page", parameters=(_MASK,)),
    Page(
        "/listeners",
        "print listener info",
        "listeners:page",
        parameters=(("format", "File format to use", ("text", "json")),),
    ),
    Page(
        "/logging",
        "query/change logging levels",
        "logging:page",
        mutates=True,
        parameters=(
            ("paths", "Change several levels: <logger_name1>:<level1>,<logger_name2>:<level2>", ()),
            ("level", "The level of all loggers", ("", *LEVELS)),
            ("for", "Take the change back after so many seconds", ()),
        ),
    ),
    Page("/memory", "print current allocation/heap usage", "memory:page"),
    Page("/processes", "print the processes of this proxy as JSON", "processes:page"),
    Page(
        "/quitquitquit",
        "exit the server",
        "quitquitquit:page",
        mutates=True,
        parameters=(("now", "Close connections at once instead of draining them", ()),),
    ),
    Page("/ready", "print server state, return 200 if LIVE, otherwise return 503", "ready:page"),
    Page(
        "/reload",
        "print how the last reload went, or the present one goes, and the configurations so far",
        "reload:page",
    ),
    Page(
        "/reload/begin",
        "apply what has changed in the configuration",
        "reload:begin",
        mutates=True,
        parameters=(("show", "Only find out what would change", ()),),
    ),
    Page(
        "/reload/rollback",
        "apply an earlier configuration again",
        "reload:rollback",
        mutates=True,
        parameters=(("version", "Which one; by default the one before the last", ()),),
    ),
    Page("/reopen_logs", "reopen access logs", "reopen_logs:page", mutates=True),
    Page("/reset_counters", "reset all counters to zero", "reset_counters:page", mutates=True),
    Page("/server_info", "print server version/status information", "server_info:page"),
    Page(
        "/sessions",
        "print the oldest downstream connections and what each waits for, as JSON",
        "sessions:page",
        parameters=(
            ("older", "Only those open for more seconds than this", ()),
            ("listener", "Only those of this listener", ()),
            ("generation", "Only those of this generation", ()),
            ("limit", "At most so many", ()),
        ),
    ),
    Page(
        "/stats",
        "print server stats",
        "stats:page",
        parameters=(
            _USED,
            _FILTER,
            _INVERT,
            ("format", "Format to use", ("html", "active-html", "text", "json")),
            ("type", "Stat types to include.", _TYPES),
            ("histogram_buckets", "Histogram bucket display mode", _BUCKETS),
        ),
    ),
    Page(
        "/stats/prometheus",
        "print server stats in prometheus format",
        "prometheus:page",
        parameters=(
            _USED,
            ("text_readouts", "Render text_readouts as new gaugues with value 0 (increases Prometheus data size)", ()),
            _FILTER,
            _INVERT,
            ("histogram_buckets", "Histogram bucket display mode", ("cumulative", "summary")),
        ),
    ),
    Page(
        "/why",
        "print the last failed and slow requests as JSON, newest first",
        "why:page",
        parameters=(
            ("id", "Only requests whose x-request-id begins so", ()),
            ("flag", "Only requests with this response flag, or slow ones (slow)", ()),
            ("limit", "How many at most", ()),
            ("after", "Only what came after the reply with this cursor", ()),
        ),
    ),
    Page(
        "/workers",
        "change the number of workers and wait until they serve",
        "workers:page",
        mutates=True,
        parameters=(("count", "How many workers there shall be", ()),),
    ),
)

_BY_PATH = {page.path: page for page in PAGES}


def find(path: str) -> Page | None:
    """The page at exactly `path`."""
    return _BY_PATH.get(path)


@functools.cache
def load(page: Page) -> Handler:
    """The function that answers for `page`; its module is imported on first use."""
    module, _, function = page.handler.partition(":")
    return cast(Handler, getattr(importlib.import_module(f"{__name__}.{module}"), function))


def help_text() -> str:
    """The list of commands in Envoy's layout."""
    lines = ["admin commands are:\n"]
    for page in PAGES:
        lines.append(f"  {page.path}{' (POST)' if page.mutates else ''}: {page.help}\n")
        for name, text, choices in page.parameters:
            one_of = f"; One of ({', '.join(choices)})" if choices else ""
            lines.append(f"      {name}: {text}{one_of}\n")
    return "".join(lines)
