"""`python -m bench.soak`: what fails while a proxy under load is restarted, killed and drained. See bench/README.md."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.figures import Unfit
from bench.soak import report
from bench.soak.run import run
from bench.soak.trials import DEFAULT, TRIALS, Trial
from bench.soak.verdict import Event, judge

LONGEST = 15.0  # minutes for a subject, unless told otherwise


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make soak ARGS=…", description="Failed requests, attributed. bench/README.md"
    )
    parser.add_argument("--minutes", type=float, help="for each subject: as many rounds as fit, instead of a whole run")
    parser.add_argument("--rounds", type=int, help="for each subject, at most")
    parser.add_argument("--subjects", default=",".join(DEFAULT), metavar="NAME,…", help=f"of {', '.join(TRIALS)}")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="for whom is killed")
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the result there, as JSON")
    options = parser.parse_args(arguments)
    options.subjects = options.subjects.split(",")
    if unknown := [name for name in options.subjects if name not in TRIALS]:
        parser.error(f"no such subject: {', '.join(unknown)}; there are: {', '.join(TRIALS)}")
    return options


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _try_out(name: str, trial: Trial, options: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether the run goes on to be a good one, and what came of this subject."""
    rounds = options.rounds or (sys.maxsize if options.minutes else trial.rounds)
    began = time.monotonic()
    deadline = began + 60 * (options.minutes or LONGEST)
    try:
        subject = trial.start()
    except Unfit as reason:
        notes = " ".join(getattr(reason, "__notes__", []))
        _note(f"\n{name}: cannot be run here: {reason} {notes}")
        return True, {"unfit": str(reason)}

    def say(event: Event) -> None:
        wrong = ": went wrong" if event.problem else ""
        _note(f"{event.began - began:6.1f} s  {event.name}, {event.ended - event.began:.1f} s{wrong}")

    _note(f"\n{name}:")
    try:
        record = run(subject, trial.operations, rounds=rounds, deadline=deadline, seed=options.seed, say=say)
        verdict = judge(record.events, record.kills, record.outcomes)
        shown = report.text(name, verdict, record.unavailable, subject.explain)
    finally:
        subject.close()
    print(shown, file=sys.stderr if options.json else sys.stdout, flush=True)
    found = report.as_json(verdict, record.unavailable) | {"seconds": time.monotonic() - began}
    return verdict.good or not trial.ours, found


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 nothing failed that may not, 1 something did, 2 usage."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: no proxy is left behind
    load = machine.load_average()
    _note(f"{machine.describe()}; load before the run: {load}; seed {options.seed}")
    results, good = {}, True
    for name in options.subjects:
        fine, results[name] = _try_out(name, TRIALS[name], options)
        good = good and fine
    after = machine.load_average()
    about = {"machine": machine.describe(), "load": {"before": load, "after": after}, "seed": options.seed}
    whole = json.dumps({"good": good, **about, "subjects": results}, indent=2)
    _note(f"\nload after the run: {after}")
    if options.output:
        options.output.write_text(whole)
    if options.json:
        print(whole)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
