"""The lines of a record log, plain or gzipped; each is judged alone, and what is bad is told in one warning."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, cast

from tvm_gnn_cost.errors import RecordError

SHOWN = 5
"""Bad lines named in a warning."""

_GZIP_MAGIC = b"\x1f\x8b"


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str, str | None]]:
    """(line number from 1, text, problem) of each line that is neither empty nor a comment (`#` or a space first).

    A damaged gzip stream ends in a line with a problem. Raises RecordError for a log that cannot be read at all.
    """
    number = 0
    try:
        with _open(path) as file:
            for raw in file:
                number += 1
                if not raw.strip() or raw[:1] in (b"#", b" "):
                    continue
                try:
                    yield number, raw.decode("utf-8").strip(), None
                except UnicodeDecodeError:
                    yield number, "", "not UTF-8 text"
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield number + 1, "", f"the gzip stream is damaged from here on ({error})"
    except OSError as error:
        raise RecordError(f"record log {os.fspath(path)} cannot be read: {error.strerror or error}") from error


def describe_skipped(path: str | os.PathLike[str], skipped: Sequence[tuple[int, str]], used: int) -> str:
    """One line: how many records of the log were used and skipped, and the first few bad lines with their reasons."""
    first = "; ".join(f"line {number}: {reason}" for number, reason in skipped[:SHOWN])
    more = f"; and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
    return f"{os.fspath(path)}: {used} records used, {len(skipped)} skipped ({first}{more})"


def _open(path: str | os.PathLike[str]) -> IO[bytes]:
    with open(path, "rb") as file:
        compressed = file.read(2) == _GZIP_MAGIC
    return cast(IO[bytes], gzip.open(path, "rb")) if compressed else open(path, "rb")
