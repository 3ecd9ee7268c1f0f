"""How to test a filter: no proxy, no sockets. `python -m pytest examples/python-filter` runs this."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from proxy import testing

sys.path.append(str(Path(__file__).parent / "filters"))
from api_keys import ApiKeys

KEYS = {hashlib.sha256(b"open-sesame").hexdigest(): "ali-baba"}


@pytest.fixture
def keys() -> ApiKeys:
    made: ApiKeys = testing.make(ApiKeys, {"keys": KEYS})
    return made


def test_a_known_key_becomes_a_name(keys: ApiKeys) -> None:
    result = testing.run(keys, headers={"X-Api-Key": "open-sesame", "X-Client": "somebody-else"})
    assert result.upstream is not None
    assert result.upstream.headers.get_all(b"x-client") == [b"ali-baba"]
    assert b"x-api-key" not in result.upstream.headers
    assert result.headers.get(b"cache-control") == b"private"


@pytest.mark.parametrize("headers", [{}, {"X-Api-Key": "guess"}])
def test_nobody_else_gets_in(keys: ApiKeys, headers: dict[str, str]) -> None:
    result = testing.run(keys, headers=headers)
    assert (result.status, result.detail, result.upstream) == (401, "api_key_missing_or_unknown", None)


def test_a_route_for_anyone(keys: ApiKeys) -> None:
    anyone = testing.make_route_config(ApiKeys, {"anyone": True})
    assert testing.run(keys, route_config=anyone).status == 200


def test_a_digest_that_is_none_is_refused_when_the_configuration_is_checked() -> None:
    with pytest.raises(ValueError, match="non-hexadecimal"):
        ApiKeys(ApiKeys.Config(keys={"not-a-digest": "x"}))
