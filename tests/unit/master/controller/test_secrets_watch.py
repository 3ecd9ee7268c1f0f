"""Files of secrets that change, with real files and directories; the supervisor is the test."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from master.admin.view import RejectedError
from master.config.rotation import rotate
from master.controller import inotify, secrets_watch
from master.controller.inotify import DirectoryWatch
from master.controller.sds_stats import SdsStats
from proxy.config.bootstrap import CompiledConfig
from proxy.stats import MemoryStats
from tests.kit.certificates import Pair
from tests.kit.secrets import put, put_pair, put_secret
from tests.kit.trio import run_trio
from tests.unit.master.config.test_rotation import FIRST, SECOND, chain, configured


class Rig:
    """Rotates as the supervisor does. `refusals` are given first; `asked` counts."""

    def __init__(self, config: CompiledConfig) -> None:
        self.config = config
        self.stats = MemoryStats()
        self.refusals: list[str] = []
        self.preempted = False
        self.failure = ""
        self.asked = 0
        self.watch = secrets_watch.SecretsWatch(lambda: self.config, self._ask, SdsStats(self.stats))

    async def _ask(self) -> None:
        self.asked += 1
        if self.refusals:
            raise RejectedError(self.refusals.pop())
        if self.preempted:
            self.preempted = False
            self.watch.on_status({"rotation": {}})
            return
        if self.failure:
            rotation = {"phase": "idle", "outcome": "failed", "reason": self.failure, "secrets": []}
            self.watch.on_status({"rotation": rotation})
            self.failure = ""
            return
        before = self.config
        self.config, outcomes = await trio.to_thread.run_sync(rotate, before)
        if self.config != before:
            self.watch.on_commit()
        secrets = msgspec.to_builtins(outcomes)
        self.watch.on_status({"rotation": {"phase": "idle", "outcome": "done", "reason": "", "secrets": secrets}})

    def counted(self) -> dict[str, int]:
        """`sds.*` and updates that are not zero, without their prefixes."""
        words = {name: word.value for name, word in self.stats.words.items() if word.value}
        return {".".join(name.split(".")[-2:]): value for name, value in words.items()}

    async def until_counted(self, **expected: int) -> None:
        wanted = {name.replace("__", "."): value for name, value in expected.items()}
        while self.counted() != wanted:  # noqa: ASYNC110 - what is counted tells nobody
            await trio.sleep(0.01)


@contextlib.asynccontextmanager
async def watching(directory: Path) -> AsyncIterator[Rig]:
    rig = Rig(configured(directory))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.watch.run)
        yield rig
        nursery.cancel_scope.cancel()


class Often:
    """Looks come often, and are counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._seen = 0
        look = secrets_watch.SecretsWatch._look
        monkeypatch.setattr(secrets_watch, "INTERVAL", 0.02)
        monkeypatch.setattr(secrets_watch, "RETRY", 0.01)

        def counted(*arguments: Any) -> Any:
            self._seen += 1
            return look(*arguments)

        monkeypatch.setattr(secrets_watch.SecretsWatch, "_look", counted)

    async def looks(self, count: int) -> None:
        """Until there were so many more, from their beginning to their end."""
        end = self._seen + count + 1
        while self._seen < end:  # noqa: ASYNC110
            await trio.sleep(0.01)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> Often:
    return Often(monkeypatch)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets_watch, "SETTLE", 0.01)


UPDATED = "server_ssl_socket_factory__ssl_context_update_by_sds"


@run_trio(deadline=20)
async def test_a_pair_that_is_moved_into_place_and_one_that_does_not_match(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        put_pair(tmp_path, SECOND)
        await rig.until_counted(**{UPDATED: 1})
        assert chain(rig.config) == SECOND.chain
        put(tmp_path / "tls.key", FIRST.key)
        await rig.until_counted(**{UPDATED: 1}, server__key_rotation_failed=1)
        assert chain(rig.config) == SECOND.chain
        put_pair(tmp_path, FIRST)
        await rig.until_counted(**{UPDATED: 2}, server__key_rotation_failed=1)
        assert chain(rig.config) == FIRST.chain


@run_trio(deadline=20)
async def test_the_file_of_the_secret_itself(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        put(tmp_path / "server.json", "{")
        await rig.until_counted(server__update_attempt=1, server__update_failure=1)
        put_secret(tmp_path / "server.json", "another")
        await rig.until_counted(server__update_attempt=2, server__update_failure=1, server__update_rejected=1)
        other = tmp_path / "other"
        other.mkdir()
        put_secret(tmp_path / "server.json", "server", tls_certificate=put_pair(other, SECOND))
        await rig.until_counted(
            **{UPDATED: 1},
            server__update_attempt=3, server__update_failure=1, server__update_rejected=1, server__update_success=1,
        )  # fmt: skip
        put_pair(other, FIRST)  # in the directory that is watched only now
        while chain(rig.config) != FIRST.chain:  # noqa: ASYNC110
            await trio.sleep(0.01)


@run_trio(deadline=20)
async def test_a_directory_as_kubernetes_mounts_it(tmp_path: Path) -> None:
    """The files are links through `..data`, which is replaced."""
    for number, pair in enumerate((FIRST, SECOND)):
        (tmp_path / f"..{number}").mkdir()
        put_pair(tmp_path / f"..{number}", pair)
    (tmp_path / "..data").symlink_to("..0")
    config = configured(tmp_path)
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(f"..data/{name}")
    rig = Rig(config)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.watch.run)
        await trio.testing.wait_all_tasks_blocked(0.05)
        (tmp_path / "..data_tmp").symlink_to("..1")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await rig.until_counted(**{UPDATED: 1})
        nursery.cancel_scope.cancel()
    assert chain(rig.config) == SECOND.chain


@run_trio(deadline=20)
async def test_what_changed_while_nobody_looked(tmp_path: Path) -> None:
    rig = Rig(configured(tmp_path))
    put_pair(tmp_path, SECOND)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.watch.run)
        await rig.until_counted(**{UPDATED: 1})
        nursery.cancel_scope.cancel()


@run_trio(deadline=20)
async def test_a_busy_supervisor_is_asked_again(tmp_path: Path, often: Often) -> None:
    async with watching(tmp_path) as rig:
        await often.looks(1)
        rig.refusals, rig.preempted = ["a hot restart is in progress"] * 3, True
        put_pair(tmp_path, SECOND)
        await rig.until_counted(**{UPDATED: 1})
        assert rig.asked == 5


@run_trio(deadline=20)
async def test_good_files_are_tried_again(tmp_path: Path, often: Often, caplog: pytest.LogCaptureFixture) -> None:
    async with watching(tmp_path) as rig:
        await often.looks(1)
        rig.failure = "every worker died of it, or hangs"
        put_pair(tmp_path, SECOND)
        await rig.until_counted(**{UPDATED: 1}, server__key_rotation_failed=1)
        assert "secret 'server' is not replaced yet: every worker died of it, or hangs" in caplog.text


@run_trio(deadline=20)
async def test_files_that_are_written_in_place_are_found_once_they_rest(tmp_path: Path, often: Often) -> None:
    async with watching(tmp_path) as rig:
        await often.looks(1)
        (tmp_path / "tls.key").write_text(SECOND.key)
        (tmp_path / "tls.crt").write_text(SECOND.chain)
        await rig.until_counted(**{UPDATED: 1})


@run_trio(deadline=20)
async def test_bad_files_are_tried_once(tmp_path: Path, often: Often) -> None:
    async with watching(tmp_path) as rig:
        put_pair(tmp_path, Pair(SECOND.certificate, FIRST.private))
        await rig.until_counted(server__key_rotation_failed=1)
        await often.looks(3)
        assert rig.asked == 1


@run_trio(deadline=20)
async def test_secrets_that_leave_the_configuration_leave_nothing(tmp_path: Path) -> None:
    async with watching(tmp_path) as rig:
        put_pair(tmp_path, Pair(SECOND.certificate, FIRST.private))
        await rig.until_counted(server__key_rotation_failed=1)
        watch, config = rig.watch, rig.config
        staying = [secret for secret in config.secrets if secret.name == "ca"]
        for secrets in (staying, []):
            while not watch._seen and secrets:  # noqa: ASYNC110 - until what is refused is remembered, too
                await trio.sleep(0.01)
            rig.config = msgspec.structs.replace(config, secrets=tuple(secrets))
            watch.on_commit()
            files = {path for secret in secrets for path in secret.files}
            while watch._seen or set(watch._files._known) != files:  # noqa: ASYNC110
                await trio.sleep(0.01)


@run_trio(deadline=20)
async def test_without_secrets_nothing_is_watched_until_there_are_some(tmp_path: Path) -> None:
    config = configured(tmp_path)
    rig = Rig(msgspec.structs.replace(config, secrets=()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.watch.run)
        await trio.testing.wait_all_tasks_blocked()
        rig.config = config
        put_pair(tmp_path, SECOND)
        rig.watch.on_commit()
        await rig.until_counted(**{UPDATED: 1})
        nursery.cancel_scope.cancel()


@run_trio(deadline=20)
async def test_a_directory_is_watched_again_when_it_comes_back(tmp_path: Path) -> None:
    directory = tmp_path / "watched"
    watch = DirectoryWatch()
    try:
        watch.follow([str(directory)])  # not there: nothing to watch, and nothing to complain about
        directory.mkdir()
        watch.follow([str(directory)])
        put(directory / "file", "1")
        await watch.wait()
        watch.follow([])
        put(directory / "file", "2")
        with trio.move_on_after(0.05) as scope:
            await watch.wait()
        assert scope.cancelled_caught
    finally:
        watch.close()


def test_where_nothing_can_be_watched_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        def inotify_init1(self, flags: int) -> int:
            return -1

    monkeypatch.setattr(inotify, "_libc", Full())
    monkeypatch.setattr(inotify.ctypes, "get_errno", lambda: errno.EMFILE)
    watch = inotify.DirectoryWatch()
    watch.follow(["/"])
    assert "raise fs.inotify.max_user_instances" in caplog.text

    async def never() -> None:
        with trio.move_on_after(1000):
            await watch.wait()
            raise AssertionError

    trio.run(never, clock=MockClock(autojump_threshold=0))
    watch.close()
