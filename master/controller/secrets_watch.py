"""Files of secrets that change: a rotation is asked of the supervisor, and what came of it is counted.

Nothing is parsed here, and no key is kept: files are compared by their digests with those that the secrets in effect
were read from.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from pathlib import Path
from typing import Any

import trio

from master.admin.view import RejectedError
from master.controller.inotify import DirectoryWatch
from master.controller.sds_stats import SdsStats
from proxy.config.bootstrap import CompiledConfig
from proxy.config.tls import Secret, secret_key

log = logging.getLogger("controller")

INTERVAL = 10.0  # seconds between looks that nothing asked for: network file systems tell nobody of changes
SETTLE = 0.1  # seconds in which the second file of a pair follows the first
RETRY = 1.0  # seconds until a refused rotation is asked for again
MAX_RETRY = 300.0  # seconds between rotations that fail for no fault of the files

Digests = Mapping[str, bytes]


class SecretsWatch:
    """`config` is what is in effect; `ask` asks the supervisor for a rotation and raises `RejectedError`."""

    def __init__(
        self, config: Callable[[], CompiledConfig], ask: Callable[[], Awaitable[None]], stats: SdsStats
    ) -> None:
        self._config = config
        self._ask = ask
        self._stats = stats
        self._files = Files()
        self._seen: dict[str, Digests] = {}  # what was refused, by the secret's key
        self._patience = INTERVAL
        self._status: Mapping[str, Any] = {}
        self._told = trio.Event()
        self._committed = trio.Event()

    def on_status(self, status: Mapping[str, Any]) -> None:
        """How a reload goes on: perhaps a rotation."""
        self._status = status
        self._told.set()
        self._told = trio.Event()

    def on_commit(self) -> None:
        """Another configuration is in effect."""
        self._committed.set()

    async def run(self) -> None:
        """Until cancelled."""
        directories = DirectoryWatch()
        try:
            while True:
                self._committed = trio.Event()
                self._forget()
                if not self._config().secrets:
                    await self._committed.wait()
                    continue
                directories.follow(sorted({path for secret in self._config().secrets for path in secret.watched}))
                await self._follow(directories)
        finally:
            directories.close()

    def _forget(self) -> None:
        """What is known of secrets that are not in effect any more."""
        secrets = self._config().secrets
        self._seen = {secret.key: self._seen[secret.key] for secret in secrets if secret.key in self._seen}
        self._files.keep({path for secret in secrets for path in secret.files})

    async def _follow(self, directories: DirectoryWatch) -> None:
        """Until another configuration is in effect, or it is time to watch directories anew."""
        before: dict[str, Digests] = {}
        moved = True  # since nobody has looked for a while
        while not self._committed.is_set():
            if moved:
                await trio.sleep(SETTLE)
            now = await trio.to_thread.run_sync(self._look, self._config().secrets)
            suspects = [secret for secret in self._config().secrets if self._is_new(secret, now.get(secret.key))]
            if suspects and (moved or now == before):  # files that are being written are let alone
                await self._rotate(suspects, now)
                return
            before = now
            moved = await self._wait(directories)
            directories.follow(sorted({path for secret in self._config().secrets for path in secret.watched}))

    async def _wait(self, directories: DirectoryWatch) -> bool:
        """Whether something was moved."""
        moved = False
        with trio.move_on_after(INTERVAL):
            async with trio.open_nursery() as nursery:

                async def until(wait: Callable[[], Awaitable[None]], *, move: bool) -> None:
                    nonlocal moved
                    await wait()
                    moved = moved or move
                    nursery.cancel_scope.cancel()

                nursery.start_soon(lambda: until(directories.wait, move=True))
                nursery.start_soon(lambda: until(self._committed.wait, move=False))
        return moved

    def _look(self, secrets: Iterable[Secret]) -> dict[str, Digests]:
        return {secret.key: {path: self._files.digest(path) for path in secret.files} for secret in secrets}

    def _is_new(self, secret: Secret, now: Digests | None) -> bool:
        """Whether nobody has tried it with these files."""
        if now == secret.files:
            self._seen.pop(secret.key, None)
        return now is not None and now not in (secret.files, self._seen.get(secret.key))

    async def _rotate(self, suspects: list[Secret], now: Mapping[str, Digests]) -> None:
        try:
            await self._ask()
        except RejectedError as refusal:
            log.debug("secrets have changed: %s", refusal)
            await trio.sleep(RETRY)
            return
        rotation = await self._end()
        if not rotation:  # something else went first, and has read the same files
            await trio.sleep(RETRY)
            return
        if rotation["outcome"] == "failed":
            await self._give_up(suspects, rotation["reason"])
            return
        self._patience = INTERVAL
        outcomes = {
            secret_key(outcome["name"], outcome["path"], outcome["watched_directory"]): outcome
            for outcome in rotation["secrets"]
        }
        for secret in suspects:
            last = self._seen.get(secret.key, secret.files)
            own = last[secret.path] != now[secret.key][secret.path]
            outcome = outcomes.get(secret.key)
            if outcome is None:
                continue  # its files are the old ones again
            if outcome["error"]:
                log.error("secret %r is not replaced: %s", secret.name, outcome["error"])
                self._stats.refused(secret, own=own, unreadable=outcome["unreadable"])
                self._seen[secret.key] = now[secret.key]
            else:
                log.info("secret %r is another one now, read from %s", secret.name, ", ".join(secret.files))
                self._stats.replaced(secret, self._config(), own=own)

    async def _give_up(self, suspects: list[Secret], reason: str) -> None:
        """The files may be good: they are tried again, later each time."""
        for secret in suspects:
            log.error("secret %r is not replaced yet: %s", secret.name, reason)
            self._stats.refused(secret, own=False, unreadable=False)
        await trio.sleep(self._patience)
        self._patience = min(2 * self._patience, MAX_RETRY)

    async def _end(self) -> Mapping[str, Any]:
        """The status of the rotation that was asked for, once it has ended; empty if something took its place."""
        while (rotation := self._status.get("rotation")) and rotation["phase"] != "idle":
            await self._told.wait()
        return rotation or {}


class Files:
    """SHA-256 of files, read only when `stat` says that they are others. One that cannot be read has none, b""."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], bytes]] = {}

    def keep(self, paths: Set[str]) -> None:
        """Forget all others."""
        self._known = {path: known for path, known in self._known.items() if path in paths}

    def digest(self, path: str) -> bytes:
        try:
            status = Path(path).stat()
            mark = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            known = self._known.get(path)
            if known is None or known[0] != mark:
                known = self._known[path] = (mark, hashlib.sha256(Path(path).read_bytes()).digest())
        except OSError:
            self._known.pop(path, None)
            return b""
        return known[1]
