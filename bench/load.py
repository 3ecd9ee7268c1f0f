"""Load generators, run to their end: wrk for requests, a reader of our own for large bodies."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Unfit
from bench.nginx import find
from bench.requests import NUMBER
from tests.kit.process import ROOT

Address = tuple[str, int]

# wrk sends these bytes on every connection again and again. Static, so no Lua runs while it measures, unless they have
# a place for a number that is each request's own.
_SCRIPT = """
local file = assert(io.open("{request}", "rb"))
local bytes = file:read("*a")
file:close()
local at, behind = bytes:find("{number}", 1, true)
if at then
  local before, after, n = bytes:sub(1, at - 1), bytes:sub(behind + 1), 0
  wrk.format = function()
    n = n + 1
    return before .. string.format("%032x", n) .. after
  end
else
  wrk.format = function() return bytes end
end
done = function(summary, latency, requests)
  local errors = summary.errors
  print(string.format(
    '{marker}{{"requests": %d, "microseconds": %d, "p50": %.1f, "p99": %.1f, "p999": %.1f, "errors": ' ..
    '{{"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}}}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
"""
MARKER = "figures of this run: "


@dataclass(frozen=True)
class Outcome:
    """What the client saw. Times in µs; `seconds` is how long the load ran."""

    requests: int
    seconds: float
    p50: float
    p99: float
    p999: float

    @property
    def rps(self) -> float:
        return self.requests / self.seconds


def parse(output: str) -> Outcome:
    """The line that our script made wrk print. Raises Unfit if a request failed, or none was served."""
    lines = [line for line in output.splitlines() if line.startswith(MARKER)]
    if not lines:
        raise Unfit(f"the load generator printed no figures: {output.strip()[-300:]!r}")
    figures = json.loads(lines[-1].removeprefix(MARKER))
    failed = ", ".join(f"{count} {cause}" for cause, count in figures["errors"].items() if count)
    if failed:
        raise Unfit(f"errors in {figures['requests']} requests: {failed}")
    if not figures["requests"]:
        raise Unfit("no request was served")
    percentiles = {name: float(figures[name]) for name in ("p50", "p99", "p999")}
    return Outcome(requests=figures["requests"], seconds=figures["microseconds"] / 1e6, **percentiles)


def wrk(address: Address, request: bytes, *, connections: int, seconds: int, tls: bool = False) -> Outcome:
    """`request` over and over on `connections` connections for `seconds`; raises Unfit as `parse`."""
    program = find("wrk")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        data, script = Path(name, "request"), Path(name, "load.lua")
        data.write_bytes(request)
        script.write_text(_SCRIPT.format(request=data, marker=MARKER, number=NUMBER))
        command = [program, "-t1", f"-c{connections}", f"-d{seconds}", "--timeout=10s", f"-s{script}"]
        url = f"{'https' if tls else 'http'}://{address[0]}:{address[1]}/"
        return parse(run([*command, url], deadline=seconds + 60))


def download(address: Address, request: bytes, *, count: int, tls: bool = False) -> Outcome:
    """`request` `count` times on one connection, reading large bodies; raises Unfit if one is not whole."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        data = Path(name, "request")
        data.write_bytes(request)
        command = [sys.executable, "-m", "bench.download", address[0], str(address[1]), str(data), str(count)]
        command += ["tls"] if tls else []
        return parse(run(command, deadline=120))


def handshakes(address: Address, *, count: int, resumed: bool) -> Outcome:
    """So many TLS connections that end with their handshakes; raises Unfit if one fails or is not as `resumed` says."""
    how = "resumed" if resumed else "full"
    command = [sys.executable, "-m", "bench.handshakes", address[0], str(address[1]), str(count), how]
    return parse(run(command, deadline=120))


def grpc(address: Address, kind: str, amount: int) -> Outcome:
    """`bench.grpc_load` of this kind; raises Unfit if a call fails."""
    return parse(run([sys.executable, "-m", "bench.grpc_load", address[0], str(address[1]), kind, str(amount)], 120))


def percentile(times: list[float], share: float) -> float:
    """Of sorted `times`; 0 where there are none."""
    return times[min(len(times) - 1, int(len(times) * share))] if times else 0.0


def run(command: list[str], deadline: float) -> str:
    """What `command` printed."""
    # In a session of its own, as the origin and `proxyctl run` are: Linux divides a busy machine by sessions
    # (autogroup), and the load would else take from the share of those proxies that run in this one.
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=deadline, check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        raise Unfit(f"{command[0]} did not end within {deadline:.0f} s") from None
    return done.stdout + done.stderr
