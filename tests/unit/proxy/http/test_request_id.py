"""Who gives a request its id, and what its version nibble says (features §13 rule 26)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from proxy.config.identity import Identity
from proxy.http.request_id import Policy, generate

SAMPLED = b"7a1d3f9e-0000-9000-8000-000000000001"
NOT_TRACED = b"7a1d3f9e-0000-4000-8000-000000000001"
KEEPING = {"use_remote_address": True, "preserve_external_request_id": True}


def test_ids_are_random_uuids_of_version_4() -> None:
    ids = {generate() for _ in range(100)}
    assert len(ids) == 100
    for text in ids:
        parsed = uuid.UUID(text.decode())
        assert str(parsed).encode() == text
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122


@pytest.mark.parametrize("theirs", [None, b""])
def test_without_an_id_there_is_a_new_one(theirs: bytes | None) -> None:
    chosen = Policy(Identity()).choose(theirs, at_edge=False)
    assert chosen is not None
    assert len(chosen) == 36
    assert Policy(Identity(generate_request_id=False)).choose(theirs, at_edge=True) is None


@pytest.mark.parametrize(
    ("config", "theirs", "at_edge", "expected"),
    [
        ({}, SAMPLED, False, None),
        (KEEPING, SAMPLED, False, None),
        (KEEPING, SAMPLED, True, NOT_TRACED),
        (KEEPING, SAMPLED + b"-and-more", True, None),
        (KEEPING, SAMPLED[:35], True, None),
        (KEEPING, b"mine", True, None),
        ({**KEEPING, "packs_trace_reason": False}, SAMPLED, True, None),
    ],
)
def test_ids_that_are_kept(config: dict[str, Any], theirs: bytes, at_edge: bool, expected: bytes | None) -> None:
    assert Policy(Identity(**config)).choose(theirs, at_edge=at_edge) == expected


def test_an_id_from_outside_is_not_believed() -> None:
    chosen = Policy(Identity(use_remote_address=True)).choose(SAMPLED, at_edge=True)
    assert chosen not in (None, SAMPLED)
