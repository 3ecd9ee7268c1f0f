"""`python -m bench`: ours beside Envoy, HAProxy and nginx, in turn, in one run. See bench/README.md."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fnmatch
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import compare, machine, record, report, run
from bench.figures import Row, Unfit
from bench.scenarios import SCENARIOS, Scenario
from bench.scenarios.effort import QUICK, WHOLE, Effort
from bench.subjects import Subjects
from bench.upstreams import Upstreams


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description="Ratios to Envoy. See bench/README.md.")
    parser.add_argument("--quick", action="store_true", help="under two minutes; says the size of things, not more")
    parser.add_argument("--only", action="append", metavar="PATTERN", help="scenarios whose names match; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="a FILE of an earlier --json: what changed?")
    parser.add_argument("--subjects", metavar="NAME,…", help="only these, e.g. trireme,envoy")
    parser.add_argument("--repetitions", type=int, metavar="N", help="more of them narrow the median down")
    parser.add_argument("--seconds", type=int, metavar="N", help="of load, per repetition")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    return parser.parse_args(arguments)


def _chosen(patterns: Sequence[str] | None, *, quick: bool) -> list[Scenario]:
    """By pattern; without one all, or all that are quick."""
    if not patterns:
        return [scenario for scenario in SCENARIOS if scenario.quick or not quick]
    return [scenario for scenario in SCENARIOS if any(fnmatch.fnmatch(scenario.name, pattern) for pattern in patterns)]


def _effort(options: argparse.Namespace) -> Effort:
    effort = QUICK if options.quick else WHOLE
    given = {name: getattr(options, name) for name in ("repetitions", "seconds") if getattr(options, name)}
    if options.subjects:
        given["only"] = frozenset(options.subjects.split(","))
    return dataclasses.replace(effort, **given)


def _show(scenario: Scenario, row: Row) -> None:
    print(report.row_text(scenario.title, scenario.name, row), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 measured, 1 ours and Envoy do not do the same, 2 usage."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: no proxy is left behind
    scenarios = _chosen(options.only, quick=options.quick)
    if options.list or not scenarios:
        print("\n".join(f"{scenario.name:15} {scenario.title}" for scenario in SCENARIOS))
        return 0 if options.list else 2
    earlier = record.load(options.compare) if options.compare else None
    effort = _effort(options)
    began, machine_before = time.monotonic(), machine.load_average()
    machine.raise_file_limit()
    cores = machine.choose_cores()
    print(f"{machine.describe()}\n{cores}; load before the run: {machine_before}\n{effort}", flush=True)
    with contextlib.ExitStack() as stack:
        with machine.on(cores.load):
            subjects = Subjects(stack.enter_context(Upstreams()), cores)
        stack.callback(subjects.keep, ())
        # The load generators are started by us, and stay where we are.
        stack.enter_context(machine.on(cores.load))
        try:
            if kinds := run.compare_work(scenarios, subjects):
                print(f"ours and Envoy forward and answer the same headers, over {kinds} kinds of request", flush=True)
        except Unfit as reason:
            print(f"whether ours and Envoy do the same could not be checked: {reason}", flush=True)
        except run.UnequalWork as difference:
            print(difference, file=sys.stderr)
            return 1
        table = run.run(scenarios, subjects, effort, _show)
    about = {
        "machine": machine.describe(),
        "cores": str(cores),
        "load": {"before": machine_before, "after": machine.load_average()},
        "effort": str(effort),
        "seconds": time.monotonic() - began,
    }
    print(report.verdicts_text(table))
    print(f"\n{about['seconds']:.0f} s; load now: {machine.load_average()}")
    if earlier is not None:
        print(compare.changes_text(earlier, table))
    if options.json:
        record.save(options.json, table, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
