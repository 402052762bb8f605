"""Files that are there as a whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tvm_gnn_cost.errors import TVMGNNCostError


def safe_name(text: str) -> str:
    """The text with what a file's name had better not hold as underscores."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` when the block ends, flushed to the disk before.

    After an error, a full disk or Ctrl-C what was there before is unchanged, and nothing is left beside it. Of a link
    the file that it points to is replaced. Raises OSError.
    """
    target = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        with contextlib.suppress(OSError):
            os.chmod(name, target.stat().st_mode if target.exists() else 0o644)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def parse_json(text: str | bytes, **options: Any) -> Any:
    """What `json.loads` makes of a text. Raises ValueError, also for one that is nested too deeply to be read."""
    try:
        return json.loads(text, **options)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: str | os.PathLike[str], what: str, error_class: type[TVMGNNCostError]) -> Any:
    """The value in a JSON file. Raises `error_class`, which names the file as `what`, where it cannot be read."""
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise error_class(f"{what} {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise error_class(f"{what} {path} is damaged, or no JSON: {error}") from error


def finite_number(value: object) -> float | None:
    """A number of a JSON file; None for what is none, for NaN and infinity, and for an integer beyond floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Replaces a file as a whole, see `replacing`."""
    with replacing(path) as out:
        out.write(data)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder: one to fill, which takes the place of `path`. Its files are the caller's to flush."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def count_lines(path: str | os.PathLike[str]) -> int:
    """How many lines a file has that end; 0 where there is none."""
    where = Path(path)
    return where.read_bytes().count(b"\n") if where.exists() else 0
