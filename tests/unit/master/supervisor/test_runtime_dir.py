"""The runtime directory's lock: one instance, the holder named, free again after any death."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from master.supervisor.runtime_dir import RuntimeDir, RuntimeDirError
from tests.kit.process import wait_for


def test_pid_file_and_clean(tmp_path: Path) -> None:
    directory = RuntimeDir(str(tmp_path / "run"))
    assert Path(directory.pid_file).read_text() == f"{os.getpid()}\n"
    Path(directory.admin_socket).touch()
    directory.clean()
    assert os.listdir(tmp_path / "run") == ["lock"]


def test_a_second_instance_is_refused_with_the_holders_pid(tmp_path: Path) -> None:
    pid_file = tmp_path / "run" / "supervisor.pid"
    pid = os.fork()
    if pid == 0:  # the other instance; flock is per open file, so it must be one of another process
        RuntimeDir(str(tmp_path / "run"))
        signal.pause()
        os._exit(0)
    try:
        wait_for(lambda: pid_file.exists() and pid_file.read_text(), deadline=10, what="the other instance has started")
        with pytest.raises(RuntimeDirError, match=rf"in use by another instance \(pid {pid}\)"):
            RuntimeDir(str(tmp_path / "run"))
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    RuntimeDir(str(tmp_path / "run")).clean()  # the kernel released the dead one's lock


def test_a_link_of_our_own_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")
    assert RuntimeDir(str(tmp_path / "run")).path == str(tmp_path / "real")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_a_link_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")
    os.lchown(tmp_path / "run", 65534, 65534)
    with pytest.raises(RuntimeDirError, match="not a directory of user"):
        RuntimeDir(str(tmp_path / "run"))


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeDirError, match="--runtime-dir"):
        RuntimeDir(str(tmp_path / "file" / "run"))
