"""h2load, run to its end: requests over HTTP/2, many at a time on each connection."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from bench.client import fields
from bench.figures import Unfit
from bench.load import Address, Outcome, percentile, run
from bench.nginx import find

_FINISHED = re.compile(r"^finished in ([0-9.]+)(us|ms|s|m),", re.M)
_REQUESTS = re.compile(r"^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", re.M)
_CODES = re.compile(r"^status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", re.M)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def h2load(address: Address, request: bytes, *, connections: int, streams: int, seconds: int) -> Outcome:
    """`request` over and over on `streams` streams of each of `connections`; raises Unfit as `parse`."""
    program = find("h2load")
    pairs = fields(request)
    path = dict(pairs)[":path"]
    headers = [f"-H{name}: {value}" for name, value in pairs if name not in (":method", ":scheme", ":path")]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        log = Path(name, "log")
        command = [program, "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", f"--log-file={log}", *headers]
        output = run([*command, f"http://{address[0]}:{address[1]}{path}"], deadline=seconds + 60)
        return parse(output, log.read_text() if log.exists() else "")


def parse(output: str, log: str) -> Outcome:
    """What h2load printed, and its log: a line for each request, with its time in µs at the end. Raises Unfit if one
    failed, or none was served.
    """
    finished, requests, codes = (pattern.search(output) for pattern in (_FINISHED, _REQUESTS, _CODES))
    if finished is None or requests is None or codes is None:
        raise Unfit(f"h2load printed no figures: {output.strip()[-300:]!r}")
    done, succeeded, *failed = map(int, requests.groups())
    if any(failed) or succeeded != done or any(map(int, codes.groups())):
        raise Unfit(f"errors: {requests[0]}; {codes[0]}")
    times = sorted(float(line.rsplit("\t", 1)[1]) for line in log.splitlines())
    if not done or not times:
        raise Unfit("no request was served")
    shares = {name: percentile(times, share) for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}
    return Outcome(requests=done, seconds=float(finished[1]) * _UNITS[finished[2]], **shares)
