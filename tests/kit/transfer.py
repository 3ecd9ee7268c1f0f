"""Bulk transfers over TCP in random cuts, both ways at once, checked byte by byte against what a seed makes.

A connection begins with its seed; client and origin derive from it what either sends, in which cuts, who finishes when,
and who breaks off where. Run as a program it is the origin: it prints its port and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

SEED = struct.Struct("!Q")
POOL = random.Random(7).randbytes(1 << 22)
LARGEST_CUT = 1 << 20
PATIENCE = 60.0  # s
_RESET = struct.pack("ii", 1, 0)
Breaker = Literal["", "client", "origin"]
BREAKERS: tuple[Breaker, ...] = ("", "client", "origin")


@dataclass(frozen=True)
class Plan:
    """What one connection does. `breaker` resets it after it has sent `breaks_at` bytes."""

    seed: int
    upload: int
    download: int
    breaker: Breaker
    breaks_at: int

    @classmethod
    def of(cls, seed: int) -> Plan:
        """The lowest 40 bits choose, the next 22 are the mean size (KiB), bit 63 allows resets."""
        dice = random.Random(seed & (1 << 40) - 1)
        mean = (seed >> 40 & (1 << 22) - 1) * 1024
        upload, download = (dice.choice((0, dice.randrange(100), dice.randrange(2 * mean + 1))) for _ in range(2))
        breaker = dice.choice(BREAKERS) if seed >> 63 else ""
        size = upload if breaker == "client" else download
        return cls(seed, upload, download, breaker, dice.randrange(size + 1))

    def pieces(self, direction: Literal["up", "down"]) -> Iterator[memoryview]:
        """The bytes of a direction in the cuts in which they are sent."""
        dice = random.Random(f"{self.seed}{direction}")
        left = self.upload if direction == "up" else self.download
        view = memoryview(POOL)
        while left:
            size = min(left, dice.choice((1, 100, 5000, 65536, LARGEST_CUT)))
            start = dice.randrange(len(POOL) - size)
            yield view[start : start + size]
            left -= size


class Broken(Exception):
    """The other side broke off, as far as we can see."""


class Expected:
    """Compares what arrives with the pieces of a direction."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")
        self.count = 0

    def check(self, data: memoryview) -> None:
        self.count += len(data)
        while data:
            if not self._piece:
                self._piece = next(self._pieces, memoryview(b""))
                assert self._piece, f"{len(data)} bytes too many"
            size = min(len(data), len(self._piece))
            assert bytes(data[:size]) == bytes(self._piece[:size]), f"other bytes before {self.count}"
            data, self._piece = data[size:], self._piece[size:]


def converse(sock: socket.socket, plan: Plan, side: Literal["client", "origin"]) -> int:
    """Sends and receives at once; the bytes received, which are the right ones. Raises `Broken`."""
    ours, theirs = (
        (plan.pieces("up"), plan.pieces("down")) if side == "client" else (plan.pieces("down"), plan.pieces("up"))
    )
    limit = plan.breaks_at if plan.breaker == side else None
    failed: list[BaseException] = []

    def send() -> None:
        sent = 0
        try:
            for piece in ours:
                if limit is not None and sent + len(piece) > limit:
                    sock.sendall(piece[: limit - sent])
                    break
                sock.sendall(piece)
                sent += len(piece)
            if limit is None:
                sock.shutdown(socket.SHUT_WR)
            else:  # shutdown alone wakes the receiver; the reset goes out when the socket is closed
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.shutdown(socket.SHUT_RD)
        except OSError as error:
            failed.append(error)

    expected = Expected(theirs)
    buffer = memoryview(bytearray(LARGEST_CUT))
    sender = threading.Thread(target=send)
    sender.start()
    try:
        while count := sock.recv_into(buffer):
            expected.check(buffer[:count])
    except OSError as error:
        failed.append(error)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    finally:
        sender.join()
    if failed or limit is not None:
        raise Broken(str(failed))
    return expected.count


def client(address: tuple[str, int], plan: Plan) -> int:
    """One connection to the proxy; bytes that passed, both ways together. Fails if it breaks and should not."""
    with socket.create_connection(address, timeout=PATIENCE) as sock:
        try:
            sock.sendall(SEED.pack(plan.seed))
            received = converse(sock, plan, "client")
        except (Broken, OSError):
            if not plan.breaker:
                raise
            return plan.breaks_at
    assert plan.breaker or received == plan.download, f"{received} bytes of {plan.download}"
    return plan.upload + received


def run_clients(address: tuple[str, int], total: int, *, mean: int, resets: bool, parallel: int = 6) -> list[Plan]:
    """Connections of `mean` bytes each way until about `total` bytes have passed; `parallel` at once."""
    plans: list[Plan] = []
    planned, number = 0, random.SystemRandom().getrandbits(30)
    while planned < total:
        number += 1
        plans.append(Plan.of(number | (mean // 1024) << 40 | (1 << 63 if resets else 0)))
        planned += plans[-1].upload + plans[-1].download
    with ThreadPoolExecutor(parallel) as pool:
        for future in [pool.submit(client, address, plan) for plan in plans]:
            future.result()
    return plans


class TransferOrigin:
    """The origin in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.transfer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def faults(self) -> str:
        """Ends it; what it found wrong."""
        output, _ = self.process.communicate(timeout=PATIENCE)
        return output

    def __enter__(self) -> TransferOrigin:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


def _serve(sock: socket.socket) -> None:
    with sock:
        sock.settimeout(PATIENCE)
        seed = b""
        while len(seed) < SEED.size:
            more = sock.recv(SEED.size - len(seed))
            if not more:
                return
            seed += more
        plan = Plan.of(SEED.unpack(seed)[0])
        try:
            received = converse(sock, plan, "origin")
            assert plan.breaker or received == plan.upload, f"{received} bytes of {plan.upload}"
        except Broken as error:
            if not plan.breaker:
                print(f"{plan}: {error}", flush=True)
        except AssertionError as error:
            print(f"{plan}: {error}", flush=True)


def _guarded(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # broken off before its seed came
        _serve(sock)


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_guarded, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()
    time.sleep(0.2)  # the last reports
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
