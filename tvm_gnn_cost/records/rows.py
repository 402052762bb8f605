"""Feature vectors of records, several for each: one a statement, a node or an edge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.system.files import replacing


@dataclass(frozen=True)
class Rows:
    """Feature vectors of n records: values float32 (m, F), ptr int64 (n + 1,); record i owns rows ptr[i]:ptr[i + 1].

    A row is a statement, a node or an edge. A record may own none.
    """

    values: NDArray[np.float32]
    ptr: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def select(self, records: NDArray[np.integer] | NDArray[np.bool_]) -> Rows:
        """The rows of some records, by index or mask; there may be none."""
        chosen = np.arange(len(self))[records]
        values = [self.values[self.ptr[i] : self.ptr[i + 1]] for i in chosen]
        lengths = self.ptr[chosen + 1] - self.ptr[chosen]
        return Rows(
            np.concatenate([self.values[:0], *values]), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        )

    def pooled(self, how: str) -> NDArray[np.float32]:
        """(n, F): "sum", "mean" or "max" over each record's rows; 0 where it owns none."""
        if how not in ("sum", "mean", "max"):
            raise InvalidArgumentError(f"rows are pooled by sum, mean or max, not by {how!r}")
        out = np.zeros((len(self), self.values.shape[1]), np.float32)
        owners = np.repeat(np.arange(len(self)), np.diff(self.ptr))
        if how == "max":  # no feature is negative
            np.maximum.at(out, owners, self.values)
            return out
        np.add.at(out, owners, self.values)
        if how == "mean":
            out /= np.maximum(1, np.diff(self.ptr))[:, None]
        return out

    @staticmethod
    def of(records: Sequence[NDArray[np.floating]]) -> Rows:
        """From one array (rows, F) a record; at least one record."""
        values = np.concatenate([np.asarray(r, np.float32) for r in records])
        return Rows(values, np.cumsum([0, *(len(r) for r in records)]).astype(np.int64))


def kept_rows(cache: Path, makers: Sequence[Any], make: Callable[[], Rows]) -> Rows:
    """What `make` gives, made once and then read from a file in `cache`.

    Args:
        cache: a folder; made where it is not there.
        makers: plain values: all that the rows depend on.
        make: makes them; the folder is there by then.
    """
    path = cache / f"{hashlib.sha256(json.dumps(makers).encode()).hexdigest()[:24]}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as stored:
            return Rows(stored["values"], stored["ptr"])
    cache.mkdir(parents=True, exist_ok=True)
    rows = make()
    with replacing(path) as out:
        np.savez_compressed(out, values=rows.values, ptr=rows.ptr)
    return rows
