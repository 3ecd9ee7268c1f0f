"""Talks to a WebSocket: `client.py URL MESSAGE…` prints what comes back, then how the connection ended.

With `--wait` it says nothing more and waits until the other side closes.
"""

from __future__ import annotations

import sys

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


def main(url: str, messages: list[str], *, wait: bool) -> None:
    try:
        # Pings of its own would keep the connection busy.
        with connect(url, ping_interval=None) as socket:
            for message in messages:
                socket.send(message)
                print(socket.recv(timeout=20))
            if wait:
                socket.recv(timeout=20)
        print("closed by us")
    except InvalidStatus as refused:
        print(f"refused: {refused.response.status_code}")
    except ConnectionClosed:
        print("closed by the other side")


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--wait"]
    main(words[0], words[1:], wait="--wait" in sys.argv)
