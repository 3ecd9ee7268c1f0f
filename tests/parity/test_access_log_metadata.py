"""Dynamic metadata and filter state in text and JSON, on the real Envoy and on ours."""

from __future__ import annotations

import pytest

from tests.kit.bootstrap import ROUTER, Fields, bootstrap, http_listener, virtual_host
from tests.parity.log_lines import json_of, log, run_logs, text, with_end

SET_METADATA = "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config"
SET_STATE = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config"
VALUES: Fields = {
    "text": 'a "quoted" text \\',
    "whole": 3,
    "large": 1e30,
    "yes": True,
    "none": None,
    "list": [1, "a", {"z": 1}],
    "struct": {"key": "value", "empty": [], "deep": {"er": "x"}},
    "empty": "",
    "accent": "é",
    "hollow": {},
}
OPERATORS = [
    "DYNAMIC_METADATA(ns)", "DYNAMIC_METADATA(ns):5", *(f"DYNAMIC_METADATA(ns:{key})" for key in VALUES),
    "DYNAMIC_METADATA(ns:text):4", "DYNAMIC_METADATA(ns:list):2", "DYNAMIC_METADATA(ns:whole):1",
    "DYNAMIC_METADATA(ns:struct:key)", "DYNAMIC_METADATA(ns:struct:deep:er)", "DYNAMIC_METADATA(ns:struct:nothing)",
    "DYNAMIC_METADATA(ns:list:0)", "DYNAMIC_METADATA(ns:text:more)", "DYNAMIC_METADATA(other)", "DYNAMIC_METADATA(:a)",
    "DYNAMIC_METADATA(ns:)", "METADATA(DYNAMIC:ns:text)", "METADATA(DYNAMIC:ns)", "METADATA(DYNAMIC:other:x):3",
    "FILTER_STATE(text)", "FILTER_STATE(text:PLAIN)", "FILTER_STATE(text:TYPED)", "FILTER_STATE(text:)",
    "FILTER_STATE(text:PLAIN):2", "FILTER_STATE(text:TYPED):3", "FILTER_STATE(text:FIELD:x)", "FILTER_STATE(address)",
    "FILTER_STATE(address:PLAIN)", "FILTER_STATE(address:FIELD:ip)", "FILTER_STATE(nothing)",
    "FILTER_STATE(nothing:PLAIN)", "UPSTREAM_FILTER_STATE(text:PLAIN)",
    'COALESCE({"operators": [{"command": "METADATA", "param": "DYNAMIC:o"}, {"command": "FILTER_STATE", "param": "text"}]})',  # noqa: E501
]  # fmt: skip


def state(key: str, factory: str, value: str) -> Fields:
    return {
        "object_key": key,
        "factory_key": factory,
        "format_string": {"text_format_source": {"inline_string": value}},
    }


FORMATS: dict[str, Fields] = {
    "json": json_of(OPERATORS),
    "inside": {"json_format": {operator: f"<%{operator}%>" for operator in OPERATORS}},
    "omitting": {**json_of(OPERATORS), "omit_empty_values": True},
    "text": text("|".join(f"%{operator}%" for operator in OPERATORS)),
}

Lines = dict[str, tuple[list[str], list[str]]]


@pytest.fixture(scope="module")
def lines() -> Lines:
    filters = [
        {
            "name": "metadata",
            "typed_config": {
                "@type": SET_METADATA,
                "metadata": [{"metadata_namespace": "ns", "value": VALUES}],
            },
        },
        {
            "name": "state",
            "typed_config": {
                "@type": SET_STATE,
                "on_request_headers": [
                    state("text", "envoy.string", 'va"lue'),
                    state("address", "envoy.network.ip", "1.2.3.4"),
                ],
            },
        },
        {"name": "router", "typed_config": {"@type": ROUTER}},
    ]
    everything = virtual_host("v", ["*"], {"match": {"prefix": "/"}, "direct_response": {"status": 200}})
    logs = with_end(*(log(name, form) for name, form in FORMATS.items()))
    listener = http_listener(everything, http_filters=filters, access_log=logs)
    with run_logs(bootstrap([listener], [])) as both:
        both.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        both.send(b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n")
        return {name: both.lines(name) for name in FORMATS}


@pytest.mark.parity("rule 30", "rule 45")
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_lines(lines: Lines, name: str) -> None:
    envoy, ours = lines[name]
    assert ours == envoy
    assert len(envoy) == 3  # with that of the probe
