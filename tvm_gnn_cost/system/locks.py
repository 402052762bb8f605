"""One writer for a file or a folder, among all processes of a machine (and of others, where their disk has locks)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tvm_gnn_cost.errors import BusyError


@contextlib.contextmanager
def only_writer(path: str | os.PathLike[str]) -> Iterator[None]:
    """A block in which no other process is in such a block for the same path, which need not be there.

    The lock is a hidden file beside the path, `.NAME.lock`, gone when the block ends; one that a killed process left
    behind locks nothing. Where it cannot be made, or the disk has no locks, there is none.

    Raises BusyError where another process has it.
    """
    target = Path(os.path.realpath(path))
    lock = target.with_name(f".{target.name}.lock")
    handle = _acquire(lock, target)
    try:
        yield
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):
                os.unlink(lock)  # while it is held: who opened it meanwhile sees that it is gone
            os.close(handle)


def _acquire(lock: Path, target: Path) -> int | None:
    """The opened lock file; None where there can be none."""
    while True:
        try:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            return None  # what is to be written there will fail, and say why
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(handle, lock):
                os.ftruncate(handle, 0)
                os.write(handle, f"{os.getpid()}\n".encode())
                return handle
        except OSError as error:
            number = os.pread(handle, 20, 0).decode(errors="replace").strip()
            os.close(handle)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                who = f"another process ({number})" if number.isdecimal() else "another process"
                raise BusyError(f"{target} is being written by {who}: wait until it ends, or name another") from None
            return None
        os.close(handle)


def _is_same(handle: int, lock: Path) -> bool:
    """Whether the file that was opened is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(lock))
    except FileNotFoundError:
        return False
