"""pytest plug-in of this suite: markers and shared fixtures; loaded with `-p tests.kit.plugin`."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ("tests.kit.field_audit",)
pytest.register_assert_rewrite("tests.kit.parity", "tests.kit.config")

# A machine that is busy elsewhere must not fail an example: what hangs meets `faulthandler_timeout`.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What is drawn at random in this process is the same in every run, and another in every test."""
    random.seed(item.nodeid)
