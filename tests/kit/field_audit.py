"""`pytest --field-audit`: is every field that we call supported shown to have an effect?

A test that shows the effect of a field names it, `@pytest.mark.field("envoy.config.cluster.v3.Cluster.name")`, or
`….type=STRICT_DNS` where single values of an enum are supported. The audit runs each such test once for each field that
it names, with the field removed from its configuration wherever its message occurs, and expects it to fail then.
At the end, every field of `master.config.support` must have been shown by a test.

The configuration of such a test goes through `cut`; `tests.kit.config` and `tests.kit.proxy` see to that. Fixtures of
every scope are torn down after each audited test, so a shared proxy is started anew with the changed configuration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

OPTION = "--field-audit"


@dataclasses.dataclass
class Removal:
    """One field to be removed. `applied` tells whether a configuration held it."""

    field: str
    applied: bool = False


_present: Removal | None = None


def cut(text: str, kind: str = "envoy.config.bootstrap.v3.Bootstrap") -> str:
    """A bootstrap (YAML or JSON), or another message of this `kind`, without the field that the audit is removing;
    unchanged when there is no audit.
    """
    if _present is None:
        return text
    from google.protobuf import json_format

    from master.config.any_types import find
    from master.config.loader import load
    from master.config.source import Source

    known = find(kind)
    assert known is not None
    message = load([Source("audited", text, "yaml")], known).message
    assert message is not None, "the field audit cannot read this configuration"
    name, _, value = _present.field.partition("=")
    owner, _, field = name.rpartition(".")
    if _remove(message, owner, field, value):
        _present.applied = True
    return json_format.MessageToJson(message, preserving_proto_field_name=True)


def _remove(message: Any, owner: str, field: str, value: str) -> bool:
    """Clears `field` in every message of type `owner` in the tree, `Any` included; an enum only if it is `value`."""
    from master.config.unsupported import ANY, elements
    from master.config.walk import unpack

    removed = False
    if message.DESCRIPTOR.full_name == ANY:
        inner = unpack(message)
        if inner is None:
            return False
        removed = _remove(inner, owner, field, value)
        message.value = inner.SerializeToString()
        return removed
    for found, content in message.ListFields():
        if (
            message.DESCRIPTOR.full_name == owner
            and found.name == field
            and (not value or found.enum_type.values_by_number[content].name == value)
        ):
            message.ClearField(field)
            removed = True
        elif found.message_type is not None:
            for _, part in elements(found, content):
                removed |= _remove(part, owner, field, value)
    return removed


# --- pytest ---------------------------------------------------------------------------------------------------------

WITHOUT = "[without "
FIELD = pytest.StashKey[str]()
VERDICT = pytest.StashKey[list[str]]()
_proven: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, action="store_true", help="show that tests of fields fail without the field")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(OPTION):
        # What a test that is meant to fail leaves open is reported in a later one, which must not fail by it.
        config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Replaces the tests by one for each field of each tagged test, and the final question to `support`."""
    if not config.getoption(OPTION):
        return
    audited: list[pytest.Item] = []
    for item in items:
        fields = dict.fromkeys(name for mark in item.iter_markers("field") for name in mark.args)
        audited += [_without(item, field) for field in fields if isinstance(item, pytest.Function)]
    config.hook.pytest_deselected(items=[item for item in items if not any(item.iter_markers("field"))])
    items[:] = audited


def _whole_suite(config: pytest.Config) -> bool:
    return config.args == config.getini("testpaths") and not config.getoption("keyword")


def _without(item: pytest.Function, field: str) -> pytest.Function:
    """The same test once more. Its name is one of its own, by which processes that share the work tell them apart."""
    clone = pytest.Function.from_parent(
        item.parent,
        name=f"{item.name}{WITHOUT}{field}]",
        callspec=getattr(item, "callspec", None),
        callobj=item.obj,
        fixtureinfo=item._fixtureinfo,
        originalname=f"{item.originalname}{WITHOUT}{field}]",
    )
    clone.stash[FIELD] = field
    return clone


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What any process has shown."""
    _, found, label = report.nodeid.rpartition(WITHOUT)
    if found and report.passed:
        _proven.add(label.partition("]")[0])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compares what the tests of the whole suite have shown with what `support` claims."""
    config = session.config
    if not config.getoption(OPTION) or hasattr(config, "workerinput") or not _whole_suite(config):
        return
    config.stash[VERDICT] = verdict = _complete()
    if verdict and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in config.stash.get(VERDICT, []):
        terminalreporter.write_line(line, red=True)


def _complete() -> list[str]:
    """What is wrong."""
    from master.config.support import supported

    claimed = set(_visible(supported().items()))
    missing, unknown = sorted(claimed - _proven), sorted(_proven - claimed)
    return [
        *(f"supported, but no test fails without it: {field}" for field in missing),
        *(f"a test shows it, but it is not in FIELDS: {field}" for field in unknown),
    ]


def _visible(supported: Iterable[tuple[str, set[str]]]) -> Iterator[str]:
    """The supported fields that a message can hold: an enum's value 0 is the same as no value."""
    from master.config.any_types import find

    for message, fields in supported:
        found = find(message)
        assert found is not None, f"{message} is no message of Envoy's API"
        descriptor = found.DESCRIPTOR
        for field in fields:
            name, _, value = field.partition("=")
            enum = descriptor.fields_by_name[name].enum_type
            if not value or enum is None or enum.values_by_name[value].number != 0:
                yield f"{message}.{field}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Runs an audited test with its field removed, tears everything down, and reports the opposite outcome."""
    if FIELD not in item.stash:
        return None
    global _present
    _present = removal = Removal(item.stash[FIELD])
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    try:
        reports = runtestprotocol(item, log=False, nextitem=None)
    finally:
        _present = None
    verdict = _invert(reports, removal)
    verdict.nodeid, verdict.location = item.nodeid, item.location
    item.ihook.pytest_runtest_logreport(report=verdict)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _invert(reports: list[pytest.TestReport], removal: Removal) -> pytest.TestReport:
    """Failed is passed and passed is failed, if the field was there to be removed; skipped is skipped."""
    decisive = next((report for report in reports if not report.passed), reports[min(1, len(reports) - 1)])
    decisive.when = "call"
    if decisive.skipped:
        return decisive
    if not removal.applied:
        decisive.outcome, decisive.longrepr = "failed", f"no configuration of this test holds {removal.field}"
    elif decisive.passed:
        decisive.outcome, decisive.longrepr = "failed", f"it passes without {removal.field}, so it does not show it"
    else:
        decisive.outcome, decisive.longrepr = "passed", None
    return decisive
