"""Kinds of load. `KINDS` is the table of them: one file and one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.kit.load.kinds.download import Download
from tests.kit.load.kinds.kind import Ask, Kind
from tests.kit.load.kinds.pipelined import Pipelined
from tests.kit.load.kinds.requests import KeepAlive, New
from tests.kit.load.kinds.tcp import Tcp
from tests.kit.load.kinds.tls import KeepAliveTls, NewTls
from tests.kit.load.kinds.upload import Upload
from tests.kit.load.kinds.websocket import WebSocket

KINDS: Mapping[str, Callable[[Ask], Kind]] = {
    "new": New,
    "keep-alive": KeepAlive,
    "pipelined": Pipelined,
    "download": Download,
    "upload": Upload,
    "tcp": Tcp,
    "tls-new": NewTls,
    "tls-keep-alive": KeepAliveTls,
    "websocket": WebSocket,
}
