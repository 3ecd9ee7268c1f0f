"""pytest plug-in of this suite: markers and shared fixtures; loaded with `-p tests.kit.plugin`."""

from __future__ import annotations

import pytest

pytest_plugins = ("tests.kit.field_audit",)
pytest.register_assert_rewrite("tests.kit.parity", "tests.kit.config")
