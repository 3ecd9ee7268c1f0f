"""pytest plug-in of this suite: markers and shared fixtures; loaded with `-p tests.kit.plugin`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ("tests.kit.field_audit",)
pytest.register_assert_rewrite("tests.kit.parity", "tests.kit.config")

# A machine that is busy elsewhere must not fail an example: what hangs meets `faulthandler_timeout`.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
