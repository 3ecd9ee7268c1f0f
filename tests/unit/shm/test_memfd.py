import fcntl
import mmap
import os

import pytest

from shm import memfd


def test_created_files_are_private_zero_and_never_shrink() -> None:
    fd = memfd.create("t", 8192)
    assert not os.get_inheritable(fd)
    assert memfd.read_at(fd, 10000, 0) == bytes(8192)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 4096)
    os.ftruncate(fd, 16384)
    os.close(fd)


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000])
def test_sealed_files_read_back_and_never_change(data: bytes) -> None:
    fd = memfd.sealed("t", data)
    assert memfd.read_all(fd) == data
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"y", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, len(data) + 1)
    with pytest.raises(PermissionError):
        mmap.mmap(fd, 0) if data else fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    os.close(fd)


def test_a_file_that_was_written_elsewhere_is_sealed_later() -> None:
    fd = memfd.create("t", 3)
    memfd.write_at(fd, b"abc", 0)
    memfd.seal(fd)
    assert memfd.read_all(fd) == b"abc"
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"y", 0)
    os.close(fd)


def test_only_sealed_files_of_bounded_size_are_read() -> None:
    fd = memfd.create("t", 10)
    with pytest.raises(ValueError, match="not sealed"):
        memfd.read_all(fd)
    os.close(fd)
    fd = memfd.sealed("t", b"0123456789")
    assert memfd.read_all(fd, limit=10) == b"0123456789"
    with pytest.raises(ValueError, match="10 bytes, more than 9"):
        memfd.read_all(fd, limit=9)
    os.close(fd)
    reading, writing = os.pipe()
    with pytest.raises(ValueError, match="not a memory file"):
        memfd.read_all(reading)
    os.close(reading)
    os.close(writing)


def test_writing_beyond_the_end_grows_the_file() -> None:
    fd = memfd.create("t", 8)
    memfd.write_at(fd, b"abc", 20)
    assert memfd.read_at(fd, 100, 18) == b"\0\0abc"
    os.close(fd)
