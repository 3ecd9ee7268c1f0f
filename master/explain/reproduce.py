"""The command line that explains how a recorded request was routed."""

from __future__ import annotations

import shlex
from urllib.parse import urlsplit

from proxy.flight_recorder import Record


def command(record: Record) -> str:
    """`proxyctl explain …`, quoted for a shell; "" for what was no request, or of which not enough is known."""
    if not record.method or record.protocol == "TCP" or record.truncated or not record.reproducible:
        return ""
    headers = list(record.headers)
    url = record.url or f"http://{record.authority}{record.path}"
    if record.method == "CONNECT":
        url = urlsplit(url).netloc
    elif url.endswith("*"):
        headers.insert(0, f"host: {urlsplit(url).netloc.removesuffix('*')}")
        url = "*"
    words = ["proxyctl", "explain", record.method, url]
    if record.listener:
        words += ["--listener", record.listener]
    if source := record.peer or record.downstream:
        words += ["--source", source]
    for line in headers:
        words += ["-H", line]
    return shlex.join(words)
