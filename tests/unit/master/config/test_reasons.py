"""Reasons why fields are not supported: each is of a field that there is, and that is not."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool

from master.config import any_types
from master.config.reasons import REASONS
from master.config.support import supported


@pytest.mark.parametrize("name", REASONS)
def test_its_field(name: str) -> None:
    message, _, field = name.rpartition(".")
    any_types.find(message)  # which loads the file that it is in, if it is not part of another message
    assert descriptor_pool.Default().FindFieldByName(name).name == field
    assert field not in {each.partition("=")[0] for each in supported().get(message, ())}
