"""Writes down the heads that HTTP/1.1 clients send: `python -m tests.kit.head_recorder DIRECTORY` prints its port.

Each head goes to a file of its own as it came, byte by byte, in the order of arrival (`01`, `02`…). To browsers it is a
page with a style sheet, a script, an image, a form, and what scripts send: `fetch` with GET and POST, XMLHttpRequest.
"""

from __future__ import annotations

import itertools
import re
import socket
import sys
import threading
from pathlib import Path

PAGE = b"""<!doctype html><link rel=stylesheet href=/style.css><script src=/script.js></script><img src=/image.png>
<form id=form method=post action=/form><input name=field value=text></form>"""
SCRIPT = b"""onload = async () => {
  await (await fetch("/api/items?page=2")).text();
  await (await fetch("/api/items", {method: "POST", headers: {"content-type": "application/json"}, body: "{}"})).text();
  const request = new XMLHttpRequest();
  request.onload = () => document.getElementById("form").submit();
  request.open("GET", "/api/xhr");
  request.send();
};"""
RESOURCES = {b"/": (b"text/html", PAGE), b"/script.js": (b"text/javascript", SCRIPT), b"/style.css": (b"text/css", b"")}

_numbers = itertools.count(1)
_naming = threading.Lock()


def serve(client: socket.socket, directory: Path) -> None:
    """Answers every request of one connection."""
    stream = client.makefile("rb")
    while True:
        lines = []
        while line := stream.readline():
            lines.append(line)
            if line == b"\r\n":
                break
        else:
            return
        head = b"".join(lines)
        with _naming:
            (directory / f"{next(_numbers):02}").write_bytes(head)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if b"100-continue" in head.lower():
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        stream.read(int(length[1]) if length else 0)
        kind, body = RESOURCES.get(head.split()[1], (b"text/plain", b"ok"))
        client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body))


def main(directory: Path) -> None:
    """For ever."""
    directory.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            client, _ = listening.accept()
            threading.Thread(target=serve, args=(client, directory), daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
