"""Which rules and fields have parity cases, and which have none: `python -m tests.parity.report`, `make parity-report`.

Collects the tests without running any. Fails if a rule has no case though what it is about is built, if a mark names
neither a rule nor a field of Envoy's API, if a case names nothing, if there are fewer cases than there should be, or if
docs/parity-cases.md says otherwise; `--write` writes that page (`make docs`).
"""

from __future__ import annotations

import contextlib
import io
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from master.config.any_types import find
from master.config.support import supported
from tests.parity.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/parity-cases.md"
MIN_CASES, MIN_NAMES = 150, 120
HEAD = """\
# Cases beside Envoy

What is easy to get wrong, and the tests that send the same to the real Envoy and to us; written by `make docs` from the
marks of the tests. Each test is one or more cases; `make parity-report` counts them, and says what has none.

"""


@dataclass
class Cases:
    """What the marks say: by name (`rule 5`, or a field without its `envoy.`) the tests that have it, and how often."""

    tests: dict[str, dict[str, int]] = field(default_factory=dict)
    total: int = 0
    nameless: list[str] = field(default_factory=list)

    def add(self, test: str, names: Iterable[str]) -> None:
        """One case of `test`."""
        self.total += 1
        found = dict.fromkeys(names)
        if not found:
            self.nameless.append(test)
        for name in found:
            of_name = self.tests.setdefault(name, {})
            of_name[test] = of_name.get(test, 0) + 1

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Takes every collected case that has the mark. What it proves of a field by `field`, it shows beside Envoy."""
        for item in session.items:
            names = [name for mark in item.iter_markers("parity") for name in mark.args]
            if next(item.iter_markers("parity"), None) is not None:
                proven = [path for mark in item.iter_markers("field") for path in mark.args]
                names += [path.removeprefix("envoy.").partition("=")[0] for path in proven]
                self.add(item.nodeid.removeprefix("tests/").partition("[")[0], names)


def collected() -> Cases:
    """The cases of all files that have any."""
    files = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.parity" in path.read_text()]
    cases, said = Cases(), io.StringIO()
    with contextlib.redirect_stdout(said):
        code = pytest.main(
            ["--collect-only", "-q", "--rootdir", str(ROOT), "-p", "no:cacheprovider", *map(str, files)], [cases]
        )
    if code != pytest.ExitCode.OK:
        raise SystemExit(said.getvalue()[-3000:])
    return cases


def number_of(name: str) -> int | None:
    """The number of a rule's name; None if it names none."""
    kind, _, number = name.partition(" ")
    return int(number) if kind == "rule" and number.isdecimal() and int(number) in RULES else None


def is_field(name: str) -> bool:
    """Whether Envoy's API has the field, or that of xDS, whose names are whole."""
    message, _, last = name.rpartition(".")
    found = find(message if message.startswith("xds.") else f"envoy.{message}")
    return found is not None and last in found.DESCRIPTOR.fields_by_name


def faults(cases: Cases) -> Iterator[str]:
    """What must not be."""
    for name, tests in sorted(cases.tests.items()):
        if number_of(name) is None and not is_field(name):
            yield f"{', '.join(tests)}: {name!r} is neither a rule nor a field"
    for test in dict.fromkeys(cases.nameless):
        yield f"{test}: its mark names nothing"
    for number, rule in RULES.items():
        if f"rule {number}" not in cases.tests and not rule.awaits:
            yield f"rule {number} has no case: {rule.text}"
    if cases.total < MIN_CASES:
        yield f"{cases.total} cases are fewer than {MIN_CASES}"
    if len(cases.tests) < MIN_NAMES:
        yield f"{len(cases.tests)} rules and fields are fewer than {MIN_NAMES}"


def fields_without(cases: Cases) -> list[str]:
    """Supported fields that no case names, without their `envoy.`."""
    names = {f"{message}.{name.partition('=')[0]}" for message, names in supported().items() for name in names}
    return sorted({name.removeprefix("envoy.") for name in names} - set(cases.tests))


def summary(cases: Cases) -> Iterator[str]:
    """The report's lines."""
    rules = {name for name in cases.tests if number_of(name) is not None}
    yield f"{cases.total} cases show {len(rules)} rules and {len(cases.tests) - len(rules)} fields"
    yield "rules without a case:"
    for number, rule in RULES.items():
        if f"rule {number}" not in cases.tests:
            yield f"  {number:2} {rule.text} ({f'not built yet: {rule.awaits}' if rule.awaits else 'MISSING'})"
    without = fields_without(cases)
    yield f"supported fields that no case names ({len(without)}):"
    for message, names in itertools.groupby(without, lambda name: name.rpartition(".")[0]):
        yield f"  {message}: {', '.join(name.rpartition('.')[2] for name in names)}"


def page(cases: Cases) -> str:
    """docs/parity-cases.md."""
    lines = ["## Rules", "", "| | Rule | Cases |", "|---|---|---|"]
    for number, rule in RULES.items():
        shown = ", ".join(_links(cases.tests.get(f"rule {number}", {})))
        lines.append(f"| {number} | {rule.text} | {shown or f'not built yet: {rule.awaits}'} |")
    lines += ["", "## Fields", "", "| Message | Field | Cases |", "|---|---|---|"]
    for name in sorted(name for name in cases.tests if number_of(name) is None):
        message, _, last = name.rpartition(".")
        lines.append(f"| {message} | `{last}` | {', '.join(_links(cases.tests[name]))} |")
    return HEAD + "\n".join(lines) + "\n"


def _links(tests: Iterable[str]) -> Iterator[str]:
    for test in sorted(tests):
        file, _, function = test.partition("::")
        yield f"[{function.removeprefix('test_')}](../tests/{file})"


def main(arguments: list[str]) -> int:
    """The exit code."""
    cases = collected()
    if arguments == ["--write"]:
        PAGE.write_text(page(cases))
        return 0
    print(*summary(cases), sep="\n")
    wrong = list(faults(cases))
    if not PAGE.exists() or PAGE.read_text() != page(cases):
        wrong.append("docs/parity-cases.md is not current: run `make docs`")
    print(*(f"error: {fault}" for fault in wrong), sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
