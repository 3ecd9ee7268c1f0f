"""`early_header_mutation_extensions`: compiled, applied before identity, and beside the express lane."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.config.header_mutation import Mutation
from proxy.filters.early_header_mutations.header_mutation import HeaderMutation
from proxy.http.headers import Headers
from proxy.http.stream_info import StreamInfo
from tests.kit.config import bootstrap, findings, manager

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
EXTENSION = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
MUTATIONS = [{"remove": "x-a"}, {"append": {"header": {"key": "x-b", "value": "1"}}}]


def text(mutations: list[Any], kind: str = EXTENSION) -> str:
    extension = {"name": "e", "typed_config": {"@type": f"type.googleapis.com/{kind}", "mutations": mutations}}
    return bootstrap(hcm=f"early_header_mutation_extensions: {json.dumps([extension])}")


@pytest.mark.field(f"{HCM}.early_header_mutation_extensions", f"{EXTENSION}.mutations")
def test_they_are_done_in_turn() -> None:
    (plugin,) = manager(text(MUTATIONS)).early_mutations
    edit = HeaderMutation(
        HeaderMutation.Config((Mutation(b"x-a", "REMOVE"), Mutation(b"x-b", "APPEND_IF_EXISTS_OR_ADD", "1")))
    )
    headers = Headers([(b"x-a", b"0"), (b"x-b", b"0")])
    edit(headers, StreamInfo(0.0))
    assert headers.items == [(b"x-b", b"0"), (b"x-b", b"1")]
    assert plugin.type_url == EXTENSION
    assert b"x-b" in bytes(plugin.config)


@pytest.mark.parametrize("name", ["host", ":path"])
def test_what_routing_goes_by_is_not_theirs_to_change(name: str) -> None:
    (fault,) = findings(text([{"append": {"header": {"key": name, "value": "1"}}}]))
    assert "may not be modified" in fault.message
