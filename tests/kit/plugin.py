"""pytest plug-in of this suite: markers and shared fixtures; loaded with `-p tests.kit.plugin`."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings

from tests.kit.process import ROOT

pytest_plugins = ("tests.kit.field_audit",)
pytest.register_assert_rewrite("tests.kit.parity", "tests.kit.config")

# A machine that is busy elsewhere must not fail an example: what hangs meets `faulthandler_timeout`.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

LONGEST = (
    "integration/reload/test_failures.py",
    "integration/reload/test_changes.py",
    "integration/restart/test_canary.py",
    "integration/processes/test_crashes.py",
    "parity/test_timeouts_of_routes.py",
    "integration/restart/test_again_and_again.py",
    "integration/restart/test_holders.py",
    "integration/test_soak.py",
    "parity/test_reload.py",
    "parity/test_access_log_wire.py",
    "integration/restart/test_supervisor_killed.py",
    "integration/test_examples.py",
    "parity/test_retry_terms.py",
    "integration/test_hostile_clients.py",
    "parity/test_access_log_moments.py",
)
"""Files of tests that take longest, the longest first: by `--durations` of `make test`."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Beside other processes, the longest files come first: the last ones to end are then short, and end together."""
    if hasattr(config, "workerinput"):
        ranks = {ROOT / "tests" / name: rank for rank, name in enumerate(LONGEST)}
        items.sort(key=lambda item: ranks.get(item.path, len(LONGEST)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is drawn at random in this process is the same in every run, and another in every test."""
    random.seed(item.nodeid)
