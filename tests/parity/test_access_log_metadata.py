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
    "METADATA(ROUTE:ns)", "METADATA(ROUTE:ns:of)", "METADATA(ROUTE:other)", "METADATA(VIRTUAL_HOST:ns:of):2",
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


def filtered(path: list[str], value: Fields | None, *, invert: bool = False, absent: bool | None = None) -> Fields:
    """A `metadata_filter`; without a `value` it has no matcher."""
    keys = [{"key": key} for key in path]
    matcher = {"matcher": {"filter": "ns", "path": keys, "value": value, "invert": invert}} if value else {}
    return {"metadata_filter": {**matcher, **({} if absent is None else {"match_if_key_not_found": absent})}}


def of(what: str) -> Fields:
    return {"filter_metadata": {"ns": {"of": what, "n": [1]}}}


FILTERS: dict[str, Fields] = {
    "equal": filtered(["struct", "key"], {"string_match": {"exact": "value"}}),
    "unequal": filtered(["struct", "key"], {"string_match": {"exact": "other"}}),
    "inverted": filtered(["struct", "key"], {"string_match": {"exact": "value"}}, invert=True),
    "inverted_unequal": filtered(["struct", "key"], {"string_match": {"exact": "other"}}, invert=True),
    "absent": filtered(["nothing"], {"string_match": {"exact": "value"}}),
    "absent_not": filtered(["nothing"], {"string_match": {"exact": "value"}}, absent=False),
    "absent_inverted": filtered(["nothing"], {"string_match": {"exact": "value"}}, invert=True, absent=False),
    "null": filtered(["none"], {"null_match": {}}, absent=False),
    "null_unequal": filtered(["none"], {"bool_match": True}, absent=True),
    "number": filtered(["whole"], {"double_match": {"exact": 3}}),
    "list": filtered(["list"], {"list_match": {"one_of": {"string_match": {"exact": "a"}}}}),
    "hollow": filtered(["hollow"], {"present_match": True}, absent=False),
    "no_matcher": filtered([], None),
    "no_matcher_not": filtered([], None, absent=False),
    "traceable": {"traceable_filter": {}},
}
IDS = [f"00000000-0000-{digit}000-8000-000000000000" for digit in "149abcAB"]
IDS += ["9" * 15, "9" * 36, "x" * 14 + "9" + "x" * 21]
FORMATS: dict[str, Fields] = {
    "json": json_of(OPERATORS),
    "inside": {"json_format": {operator: f"<%{operator}%>" for operator in OPERATORS}},
    "omitting": {**json_of(OPERATORS), "omit_empty_values": True},
    "text": text("|".join(f"%{operator}%" for operator in OPERATORS)),
}

OF_IDS: Fields = {"header_filter": {"header": {"name": "x-by-id", "present_match": True}}}
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
    reply = {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "metadata": of("route")}
    everything = {**virtual_host("v", ["*"], reply), "metadata": of("host")}
    those = text("%REQ(X-REQUEST-ID)%")
    logs = with_end(
        *(log(name, form) for name, form in FORMATS.items()),
        *(log(name, those, {"and_filter": {"filters": [one, OF_IDS]}}) for name, one in FILTERS.items()),
    )
    listener = http_listener(everything, http_filters=filters, access_log=logs)
    with run_logs(bootstrap([listener], [])) as both:
        both.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        both.send(b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n")
        found = {name: both.lines(name) for name in FORMATS}
        for one in IDS:
            both.send(f"GET /x HTTP/1.1\r\nHost: a\r\nx-request-id: {one}\r\nx-by-id: 1\r\n\r\n".encode())
        return found | {name: both.lines(name) for name in FILTERS}


@pytest.mark.parity("rule 30", "rule 45")
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_lines(lines: Lines, name: str) -> None:
    envoy, ours = lines[name]
    assert ours == envoy
    assert len(envoy) == 3  # with that of the probe


@pytest.mark.parity(
    "config.accesslog.v3.AccessLogFilter.metadata_filter", "config.accesslog.v3.AccessLogFilter.traceable_filter"
)
@pytest.mark.parametrize("name", FILTERS)
def test_the_same_requests_are_logged(lines: Lines, name: str) -> None:
    envoy, ours = lines[name]
    assert ours == envoy
