"""An access log service of grpcio's in a process of its own: what it is told, as JSON, by the name of the log.

It writes down a line per message: `{"log": …, "node": …, "entries": […]}`, entries as protobuf's JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from tests.kit.process import KitProcess

SERVICE = "envoy.service.accesslog.v3.AccessLogService"


class AlsServer(KitProcess):
    """`path` has what came. `port`: 0 for any."""

    def __init__(self, path: Path, *, port: int = 0) -> None:
        super().__init__("tests.kit.als_server", [str(path), "--port", str(port)])
        self.path = path
        self.port: int = self.read_json()["port"]

    def messages(self) -> list[dict[str, Any]]:
        text = self.path.read_text().rpartition("\n")[0] if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def entries(self, log: str) -> list[dict[str, Any]]:
        """Those of one log, as they came."""
        return [entry for message in self.messages() if message["log"] == log for entry in message["entries"]]


async def serve(path: Path, port: int) -> None:
    from envoy.service.accesslog.v3 import als_pb2
    from google.protobuf import json_format

    with path.open("a") as file:

        async def stream(requests: AsyncIterator[Any], context: Any) -> Any:
            identifier = None
            async for request in requests:
                first = request.HasField("identifier")
                identifier = request.identifier if first else identifier
                logs = request.http_logs if request.HasField("http_logs") else request.tcp_logs
                entries = [json_format.MessageToDict(entry) for entry in logs.log_entry]
                known = json_format.MessageToDict(identifier.node) if identifier is not None else None
                name = identifier.log_name if identifier is not None else ""
                line = {"log": name, "first": first, "node": known, "entries": entries}
                file.write(json.dumps(line) + "\n")
                file.flush()
            return als_pb2.StreamAccessLogsResponse()

        handler = grpc.stream_unary_rpc_method_handler(
            stream,
            request_deserializer=als_pb2.StreamAccessLogsMessage.FromString,
            response_serializer=als_pb2.StreamAccessLogsResponse.SerializeToString,
        )
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"StreamAccessLogs": handler}),))
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        print(json.dumps({"port": bound}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.path, arguments.port))
