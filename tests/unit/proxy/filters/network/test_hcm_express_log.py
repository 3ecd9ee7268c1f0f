"""The lane's log: what differs from exchange to exchange is told of each, text and JSON, however often heads recur."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.config.access_log import AccessLog, ResponseFlags, Share
from proxy.filters.network import hcm_express
from tests.unit.proxy.rig import compiled, plugin, serving
from tests.unit.upstream.rig import origin

FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
OPERATORS = ["REQ(X-REQUEST-ID)", "REQ(TRACEPARENT)", "REQ(:PATH)", "REQ(X-CONSTANT)", "RESPONSE_CODE"]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\n\r\nok"


def file_log(path: Path, condition: Any = None, **log_format: Any) -> AccessLog:
    return AccessLog(plugin("file", FILE, {"path": str(path), "format": log_format}), condition)


def requested(log: Any, count: int, *, repeated: bool = False) -> list[dict[str, str]]:
    """The headers of `count` requests that differ in their path, their trace and the id that they get, as the origin
    saw them; all but the first go by the lane.
    """
    seen: list[dict[str, str]] = []

    async def answering(stream: trio.SocketStream) -> None:
        while data := await stream.receive_some():
            line, *lines = data.decode().split("\r\n")[:-2]
            seen.append({"path": line.split(" ")[1], **dict(field.split(": ", 1) for field in reversed(lines))})
            await stream.send_all(ANSWER)

    async def main() -> None:
        async with origin(answering) as upstream, serving(compiled(upstream.address, access_log=log)) as rig:
            client = await rig.connect()
            for number in range(count):
                trace = f"traceparent: 00-{number:032x}-01\r\n" * (2 if repeated else 1)
                await client.send(f"GET /{number} HTTP/1.1\r\nhost: a\r\nx-constant: c\r\n{trace}\r\n".encode())
                await client.response()
            await client.stream.aclose()
            await rig.quiet()
            await rig.stop()

    trio.run(main)
    return seen


@pytest.mark.parametrize("repeated", [False, True])
def test_each_line_has_its_own_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeated: bool) -> None:
    taken: list[object] = []
    respond = hcm_express.Lane._respond

    def counted(self: hcm_express.Lane, *arguments: Any) -> bool:
        taken.append(arguments)
        return respond(self, *arguments)

    monkeypatch.setattr(hcm_express.Lane, "_respond", counted)
    text, tree = tmp_path / "text", tmp_path / "json"
    logs = (
        file_log(text, text=" ".join(f"%{operator}%" for operator in OPERATORS) + "\n"),
        file_log(tree, json_format=json.dumps({operator: f"%{operator}%" for operator in OPERATORS})),
    )
    seen = requested(logs, 6, repeated=repeated)
    assert len(taken) == 5
    values = [[one["x-request-id"], one["traceparent"], one["path"], "c", "200"] for one in seen]
    assert len({line[0] for line in values}) == 6
    assert [line.split(" ") for line in text.read_text().splitlines()] == values
    entries = [json.loads(line) for line in tree.read_text().splitlines()]
    assert [[str(entry[operator]) for operator in OPERATORS] for entry in entries] == values


def test_a_filter_decides_about_each_exchange(tmp_path: Path) -> None:
    half, none = tmp_path / "half", tmp_path / "none"
    logs = (
        file_log(half, Share(50, 100), text="%REQ(X-REQUEST-ID)%\n"),
        file_log(none, ResponseFlags(), text="%REQ(X-REQUEST-ID)%\n"),
    )
    seen = requested(logs, 40)
    wanted = [
        one["x-request-id"] for one in seen if int(re.match("[0-9a-f]{8}", one["x-request-id"])[0], 16) % 100 < 50
    ]  # type: ignore[index]
    assert half.read_text().split() == wanted
    assert not none.exists() or none.read_text() == ""
