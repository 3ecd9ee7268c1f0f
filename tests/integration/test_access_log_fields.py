"""Fields of access logs: a bootstrap's text, the compiler, a server on real sockets, and the lines in the end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import trio

from tests.integration.test_fields import cluster, one_listener, routed
from tests.kit.config import CLUSTERS, ROUTE_CONFIG, bootstrap, findings
from tests.unit.proxy.access_log.streams import replaced
from tests.unit.proxy.rig import serving
from tests.unit.upstream.rig import OK, answering, origin

LOG = "envoy.config.accesslog.v3"
FORMAT = "envoy.config.core.v3.SubstitutionFormatString"
FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
STREAM = "envoy.extensions.access_loggers.stream.v3"
HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
GET = b"GET %b HTTP/1.1\r\nhost: a\r\nx-a: %b\r\nconnection: close\r\n\r\n"


def logger(path: Path | str, **log_format: object) -> dict[str, object]:
    """A file logger; `log_format` are the fields of its format."""
    config = {"@type": f"type.googleapis.com/{FILE}", "path": str(path)}
    return {"name": "file", "typed_config": config | ({"log_format": log_format} if log_format else {})}


def text(path: Path, format: str, **fields: object) -> dict[str, object]:
    return logger(path, text_format_source={"inline_string": format}, **fields)


def bootstrap_of(logs: list[dict[str, object]], clusters: str, route_config: str = ROUTE_CONFIG) -> str:
    return bootstrap(hcm=f"access_log: {json.dumps(logs)}", clusters=clusters, route_config=route_config)


def requests(*logs: dict[str, object], targets: tuple[bytes, ...] = (b"/ok",)) -> None:
    """A server with these logs answers a GET of each target, with `x-a` the target's last letter, and ends."""

    async def run() -> None:
        async with origin(answering(OK)) as upstream:
            config = one_listener(bootstrap_of(list(logs), cluster(upstream.address)))
            async with serving(config) as rig:
                for target in targets:
                    await rig.ask(GET % (target, target[-1:]))
                await rig.stop()

    trio.run(run)


@pytest.mark.field(f"{HCM}.access_log")
@pytest.mark.field(f"{LOG}.AccessLog.typed_config")
@pytest.mark.field(f"{FILE}.path")
def test_the_default_format(tmp_path: Path) -> None:
    path = tmp_path / "log"
    requests(logger(path))
    (line,) = path.read_text().splitlines()
    when = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\]"
    uuid = r"[0-9a-f-]{36}"
    assert re.fullmatch(rf'{when} "GET /ok HTTP/1.1" 200 - 0 \d+ \d+ \d+ "-" "-" "{uuid}" "a" "127.0.0.1:\d+"', line), (
        line
    )


@pytest.mark.field(f"{FILE}.log_format")
@pytest.mark.field(f"{FORMAT}.text_format_source")
@pytest.mark.field("envoy.config.core.v3.DataSource.inline_string")
def test_a_text_format(tmp_path: Path) -> None:
    path = tmp_path / "log"
    requests(text(path, "%REQ(:PATH)%|%RESPONSE_CODE%|%REQ(NOPE)%\n"), targets=(b"/1", b"/2"))
    assert path.read_text() == "/1|200|-\n/2|200|-\n"


@pytest.mark.field(f"{FORMAT}.text_format")
def test_the_old_name_of_a_text_format(tmp_path: Path) -> None:
    path = tmp_path / "log"
    requests(logger(path, text_format="%REQ(:PATH)%\n"))
    assert path.read_text() == "/ok\n"


@pytest.mark.field(f"{FORMAT}.omit_empty_values")
def test_omit_empty_values(tmp_path: Path) -> None:
    first, second = tmp_path / "text", tmp_path / "json"
    requests(
        text(first, "[%REQ(NOPE)%]\n", omit_empty_values=True),
        logger(second, json_format={"a": "%REQ(NOPE)%", "b": "%RESPONSE_CODE%"}, omit_empty_values=True),
    )
    assert (first.read_text(), second.read_text()) == ("[]\n", '{"b":200}\n')


@pytest.mark.field(f"{FORMAT}.json_format")
def test_a_json_format(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tree = {"z": "%RESPONSE_CODE%", "a": {"path": "%REQ(:PATH)%", "list": ["%REQ(NOPE)%", 1, True, "x%PROTOCOL%"]}}
    requests(logger(path, json_format=tree))
    assert path.read_text() == '{"a":{"list":[null,1,true,"xHTTP/1.1"],"path":"/ok"},"z":200}\n'


@pytest.mark.field(f"{STREAM}.StdoutAccessLog.log_format")
@pytest.mark.field(f"{STREAM}.StderrAccessLog.log_format")
def test_standard_streams(tmp_path: Path) -> None:
    def stream(kind: str, word: str) -> dict[str, object]:
        config = {"@type": f"type.googleapis.com/{STREAM}.{kind}AccessLog"}
        return {"name": kind, "typed_config": config | {"log_format": {"text_format": f"{word} %RESPONSE_CODE%\n"}}}

    out, err = tmp_path / "out", tmp_path / "err"
    with (
        out.open("ab") as first,
        err.open("ab") as second,
        replaced(1, first.fileno()),
        replaced(2, second.fileno()),
    ):
        requests(stream("Stdout", "out"), stream("Stderr", "err"), text(Path("/dev/stdout"), "device\n"))
    assert sorted(out.read_text().splitlines()) == ["device", "out 200"]
    assert err.read_text() == "err 200\n"


def compared(kind: str, op: str, value: int) -> dict[str, object]:
    return {kind: {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "k"}}}}


def header(value: str) -> dict[str, object]:
    return {"header_filter": {"header": {"name": "x-a", "string_match": {"exact": value}}}}


TARGETS = (b"/1", b"/2", b"/none/3")
FOUND = routed("safe_regex: {regex: '/[0-9]'}")
"""No route for the last of the targets."""


@pytest.mark.field(f"{LOG}.AccessLog.filter")
@pytest.mark.field(f"{LOG}.AccessLogFilter.status_code_filter")
@pytest.mark.field(f"{LOG}.StatusCodeFilter.comparison")
@pytest.mark.field(f"{LOG}.ComparisonFilter.op")
@pytest.mark.field(f"{LOG}.ComparisonFilter.value")
@pytest.mark.field("envoy.config.core.v3.RuntimeUInt32.default_value")
def test_status_code_filter(tmp_path: Path) -> None:
    assert logged(tmp_path, compared("status_code_filter", "GE", 400)) == "3"
    assert logged(tmp_path, compared("status_code_filter", "LE", 399)) == "12"
    assert logged(tmp_path, compared("status_code_filter", "NE", 200)) == "3"


@pytest.mark.field(f"{LOG}.AccessLogFilter.duration_filter")
@pytest.mark.field(f"{LOG}.DurationFilter.comparison")
def test_duration_filter(tmp_path: Path) -> None:
    assert logged(tmp_path, compared("duration_filter", "LE", 60_000)) == "123"
    assert logged(tmp_path, compared("duration_filter", "GE", 60_000)) == ""


@pytest.mark.field(f"{LOG}.AccessLogFilter.not_health_check_filter")
def test_not_health_check_filter(tmp_path: Path) -> None:
    assert logged(tmp_path, {"not_health_check_filter": {}}) == "123"


@pytest.mark.field(f"{LOG}.AccessLogFilter.header_filter")
@pytest.mark.field(f"{LOG}.HeaderFilter.header")
def test_header_filter(tmp_path: Path) -> None:
    assert logged(tmp_path, header("2")) == "2"


@pytest.mark.field(f"{LOG}.AccessLogFilter.response_flag_filter")
@pytest.mark.field(f"{LOG}.ResponseFlagFilter.flags")
def test_response_flag_filter(tmp_path: Path) -> None:
    assert logged(tmp_path, {"response_flag_filter": {}}) == "3"
    assert logged(tmp_path, {"response_flag_filter": {"flags": ["UH", "NR"]}}) == "3"
    assert logged(tmp_path, {"response_flag_filter": {"flags": ["UH"]}}) == ""


@pytest.mark.field(f"{LOG}.AccessLogFilter.and_filter")
@pytest.mark.field(f"{LOG}.AccessLogFilter.or_filter")
@pytest.mark.field(f"{LOG}.AndFilter.filters")
@pytest.mark.field(f"{LOG}.OrFilter.filters")
def test_and_or_filters(tmp_path: Path) -> None:
    either = {"or_filter": {"filters": [header("2"), header("3")]}}
    assert logged(tmp_path, either) == "23"
    both = {"and_filter": {"filters": [either, compared("status_code_filter", "EQ", 200)]}}
    assert logged(tmp_path, both) == "2"


def logged(tmp_path: Path, condition: dict[str, object]) -> str:
    """Which of `TARGETS` (their last letters) a log with this filter has."""
    path = tmp_path / "log"
    path.write_text("")
    log = text(path, "%REQ(x-a)%") | {"filter": condition}

    async def run() -> None:
        async with origin(answering(OK)) as upstream:
            text_of_all = bootstrap_of([log], cluster(upstream.address), FOUND)
            async with serving(one_listener(text_of_all)) as rig:
                for target in TARGETS:
                    await rig.ask(GET % (target, target[-1:]))
                await rig.stop()

    trio.run(run)
    return path.read_text()


@pytest.mark.parametrize(
    ("log_format", "message", "place"),
    [
        ({"text_format_source": {"inline_string": "%NOPE%"}}, "unknown operator %NOPE%", "inline_string"),
        ({"text_format": "50%"}, "incorrect configuration at offset 2", "text_format"),
        ({"json_format": {"a": ["ok", {"b": "%REQ%"}]}}, "%REQ%: the operator requires", "json_format.a[1].b"),
        ({"json_format": {"a": "%DOWNSTREAM_CX_RTT%"}}, "not supported", "json_format.a"),
    ],
)
def test_a_bad_format_is_an_error_where_it_stands(
    tmp_path: Path, log_format: dict[str, object], message: str, place: str
) -> None:
    (finding,) = findings(bootstrap_of([logger(tmp_path / "log", **log_format)], CLUSTERS))
    assert message in finding.message
    assert finding.field_path.endswith(place)


@pytest.mark.parametrize("path", ["missing/log", "."])
def test_a_path_that_cannot_be_written_to_is_an_error(tmp_path: Path, path: str) -> None:
    (finding,) = findings(bootstrap_of([logger(tmp_path / path)], CLUSTERS))
    assert "cannot open" in finding.message
    assert finding.field_path.endswith("access_log[0].typed_config.path")


@pytest.mark.field(f"{FORMAT}.formatters")
def test_an_operator_that_needs_a_formatter(tmp_path: Path) -> None:
    path = tmp_path / "log"
    kind = "type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"
    formatters = [{"name": "path", "typed_config": {"@type": kind}}]
    requests(text(path, "%REQ_WITHOUT_QUERY(:PATH)%\n", formatters=formatters), targets=(b"/ok?secret",))
    assert path.read_text() == "/ok\n"
    (finding,) = findings(bootstrap_of([text(path, "%REQ_WITHOUT_QUERY(:PATH)%\n")], CLUSTERS))
    assert "needs a formatter" in finding.message
