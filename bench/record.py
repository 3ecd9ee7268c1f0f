"""A run as JSON: every sample of every repetition, so that a later run can be compared with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from bench.figures import METRICS, Cell, Table
from bench.targets import TARGETS, judge

FORMAT = 1


def save(path: Path, table: Table, about: dict[str, Any]) -> None:
    """`about` says what machine it was and how much was measured."""
    verdicts = [judge(target, table) for target in TARGETS if target.scenario in table]
    record = {
        "format": FORMAT,
        **about,
        "units": METRICS,
        "table": {
            name: {subject: dataclasses.asdict(cell) for subject, cell in row.items()} for name, row in table.items()
        },
        "verdicts": [{"target": str(v.target), "verdict": v.word, "measured": v.measured} for v in verdicts],
    }
    path.write_text(json.dumps(record, indent=1) + "\n")


def load(path: Path) -> Table:
    """The figures of a run that `save` wrote; raises ValueError for anything else."""
    record = json.loads(path.read_bytes())
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{path} is not the record of a benchmark run in format {FORMAT}")
    return {
        name: {subject: Cell(cell["samples"], cell["problem"]) for subject, cell in row.items()}
        for name, row in record["table"].items()
    }
