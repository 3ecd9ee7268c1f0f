"""`match_delegate`: compiled from YAML, then run in a server."""

from __future__ import annotations

import pytest

from tests.kit.config import ROUTE_CONFIG, bootstrap, findings
from tests.kit.trio import run_trio
from tests.unit.proxy.filters.http.through import ROUTER, through
from tests.unit.proxy.rig import GET

TYPES = "type.googleapis.com"
MATCHING = f"{TYPES}/envoy.extensions.common.matching.v3"
MUTATION = "envoy.extensions.filters.http.header_mutation.v3"
XDS = "xds.type.matcher.v3"
NETWORK = "envoy.extensions.matching.common_inputs.network.v3"
INPUTS = "envoy.extensions.matching.input_matchers"
ACTION = f"{TYPES}/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"
SKIP = f"{{action: {{name: s, typed_config: {{'@type': {ACTION}}}}}}}"


def extension(kind: str, fields: str = "") -> str:
    return f"{{name: e, typed_config: {{'@type': {TYPES}/{kind}, {fields}}}}}"


HEADER = extension("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", "header_name: x")
SOURCE = extension(f"{NETWORK}.SourceIPInput")
QUERY = extension("envoy.type.matcher.v3.HttpRequestQueryParamMatchInput", "query_param: q")
STATE = extension(f"{NETWORK}.FilterStateInput", "key: k")
METADATA = extension(f"{NETWORK}.DynamicMetadataInput", "filter: f, path: [{key: k}]")


def skips_if(single: str) -> str:
    return f"{{matcher_list: {{matchers: [{{predicate: {{single_predicate: {{{single}}}}}, on_match: {SKIP}}}]}}}}"


def text(looks_at: str, value: str = "one") -> str:
    return skips_if(f"input: {looks_at}, value_match: {{exact: {value}}}")


def custom(looks_at: str, kind: str, fields: str) -> str:
    return skips_if(f"input: {looks_at}, custom_match: {extension(kind, fields)}")


def by_range(ranges: str) -> str:
    tree = extension(f"{XDS}.IPMatcher", f"range_matchers: [{ranges}]")
    return f"{{matcher_tree: {{input: {SOURCE}, custom_match: {tree}}}}}"


def wrapped(matcher: str, inner: str = "") -> str:
    inner = inner or extension(
        f"{MUTATION}.HeaderMutation", "mutations: {request_mutations: [{append: {header: {key: ran, value: '1'}}}]}"
    )
    return (
        f"{{name: w, typed_config: {{'@type': {MATCHING}.ExtensionWithMatcher, extension_config: {inner}, "
        f"xds_matcher: {matcher}}}}}"
    )


async def ran(matcher: str, request: bytes = GET, *, before: str = "", routes: str = ROUTE_CONFIG) -> bool:
    """`before` is a filter that stands in front."""
    filters = f"{before}\n- {wrapped(matcher)}" if before else wrapped(matcher)
    head, _ = await through(filters, request, route_config=routes)
    return b"ran: 1" in head


def with_x(value: bytes) -> bytes:
    return GET.replace(b"\r\n\r\n", b"\r\nx: " + value + b"\r\n\r\n", 1)


SMALL = "{ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}], on_match: {matcher: " + text(HEADER) + "}}"
LARGE = f"{{ranges: [{{address_prefix: 0.0.0.0, prefix_len: 0}}], on_match: {SKIP}, exclusive: true}}"


@run_trio
@pytest.mark.field(
    "envoy.extensions.common.matching.v3.ExtensionWithMatcher.extension_config",
    "envoy.extensions.common.matching.v3.ExtensionWithMatcher.xds_matcher",
)
async def test_a_header_decides() -> None:
    assert not await ran(text(HEADER), with_x(b"one"))
    assert await ran(text(HEADER), with_x(b"two"))


@run_trio
@pytest.mark.field("envoy.type.matcher.v3.HttpRequestQueryParamMatchInput.query_param")
async def test_a_query_parameter_decides() -> None:
    assert not await ran(text(QUERY), GET.replace(b"GET / ", b"GET /?q=%6fne ", 1))
    assert await ran(text(QUERY), GET)


@run_trio
@pytest.mark.field(
    f"{XDS}.Matcher.MatcherList.Predicate.SinglePredicate.custom_match", f"{INPUTS}.ip.v3.Ip.cidr_ranges"
)
async def test_an_address_decides() -> None:
    for network, expected in (("127.0.0.0", False), ("10.0.0.0", True)):
        fields = f"stat_prefix: s, cidr_ranges: [{{address_prefix: {network}, prefix_len: 8}}]"
        assert await ran(custom(SOURCE, f"{INPUTS}.ip.v3.Ip", fields)) is expected


@run_trio
@pytest.mark.field(
    f"{XDS}.Matcher.MatcherTree.custom_match",
    f"{XDS}.IPMatcher.range_matchers",
    f"{XDS}.IPMatcher.IPRangeMatcher.ranges",
    f"{XDS}.IPMatcher.IPRangeMatcher.on_match",
    f"{XDS}.IPMatcher.IPRangeMatcher.exclusive",
)
async def test_ranges_decide() -> None:
    tree = by_range(f"{SMALL}, {LARGE}")
    assert not await ran(tree, with_x(b"one"))
    assert await ran(tree, with_x(b"two"))


@run_trio
@pytest.mark.field(
    f"{NETWORK}.DynamicMetadataInput.filter",
    f"{NETWORK}.DynamicMetadataInput.path",
    f"{NETWORK}.DynamicMetadataInput.PathSegment.key",
    f"{INPUTS}.metadata.v3.Metadata.value",
    f"{INPUTS}.metadata.v3.Metadata.invert",
)
async def test_metadata_decides() -> None:
    notes = extension(
        "envoy.extensions.filters.http.set_metadata.v3.Config",
        "metadata: [{metadata_namespace: f, value: {k: one}}]",
    )
    for wanted, invert, expected in (("one", "false", False), ("two", "true", False), ("one", "true", True)):
        fields = f"value: {{string_match: {{exact: {wanted}}}}}, invert: {invert}"
        assert await ran(custom(METADATA, f"{INPUTS}.metadata.v3.Metadata", fields), before=notes) is expected


@run_trio
@pytest.mark.field(f"{NETWORK}.FilterStateInput.key")
async def test_filter_state_decides() -> None:
    state = (
        "{object_key: k, factory_key: envoy.string, format_string: {text_format_source: {inline_string: '%REQ(X)%'}}}"
    )
    before = extension("envoy.extensions.filters.http.set_filter_state.v3.Config", f"on_request_headers: [{state}]")
    assert not await ran(text(STATE), with_x(b"one"), before=before)
    assert await ran(text(STATE), with_x(b"two"), before=before)


@run_trio
@pytest.mark.field("envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute.xds_matcher")
async def test_a_route_of_its_own_mind() -> None:
    own = f"{{w: {{'@type': {MATCHING}.ExtensionWithMatcherPerRoute, xds_matcher: {text(HEADER, 'two')}}}}}"
    route = f"{{match: {{prefix: /}}, route: {{cluster: origin}}, typed_per_filter_config: {own}}}"
    routes = f"{{name: r, virtual_hosts: [{{name: v, domains: ['*'], routes: [{route}]}}]}}"
    assert not await ran(text(HEADER), with_x(b"two"), routes=routes)
    assert await ran(text(HEADER), with_x(b"one"), routes=routes)


@pytest.mark.parametrize(
    ("matcher", "inner", "message"),
    [
        (text(METADATA), "", "a value of metadata needs a Metadata matcher, which compares nothing else"),
        (
            text(HEADER),
            ROUTER,
            "envoy.extensions.filters.http.router.v3.Router ends a chain of filters: it cannot be skipped",
        ),
    ],
)
def test_what_cannot_work_is_refused(matcher: str, inner: str, message: str) -> None:
    found = findings(bootstrap(http_filters=f"- {wrapped(matcher, inner)}\n- {ROUTER}"))
    assert message in [finding.message for finding in found]
