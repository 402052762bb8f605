"""Standardisation of feature columns, learned from the data as it comes in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import InvalidArgumentError

CLIP = 10.0  # standard deviations; a column that was constant for long cannot blow up a prediction when it varies


class FeatureScaler:
    """Maps every column to mean 0 and standard deviation 1, clipped to +-10.

    Means and variances of successive updates are merged exactly (Chan, Golub and LeVeque 1983), so `partial_fit` in
    pieces equals `fit` at once. A column that has been constant so far maps to 0.

    Shapes:
        * **input:** float (n, dim)
        * **output:** float32 (n, dim)

    Attributes:
        count_: rows seen.
        mean_, variance_: float64 (dim,).
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.count_ = 0
        self.mean_: NDArray[np.float64] = np.zeros(dim)
        self.variance_: NDArray[np.float64] = np.zeros(dim)

    def fit(self, rows: NDArray[np.floating]) -> FeatureScaler:
        """Forgets what was learned and learns from `rows`."""
        self.check(rows)
        self.count_, self.mean_, self.variance_ = 0, np.zeros(self.dim), np.zeros(self.dim)
        return self.partial_fit(rows)

    def partial_fit(self, rows: NDArray[np.floating]) -> FeatureScaler:
        """Merges `rows` into the statistics. No rows: no change."""
        self.check(rows)
        count = len(rows)
        if not count:
            return self
        mean = rows.mean(axis=0, dtype=np.float64)
        variance = np.square(rows - mean).mean(axis=0, dtype=np.float64)
        total = self.count_ + count
        share = count / total
        delta = mean - self.mean_
        self.variance_ = (1 - share) * self.variance_ + share * variance + share * (1 - share) * delta**2
        self.mean_ = self.mean_ + share * delta
        self.count_ = total
        return self

    def transform(self, rows: NDArray[np.floating]) -> NDArray[np.float32]:
        """The scaled rows, float32 (n, dim). Raises InvalidArgumentError for a wrong width or a non-finite value."""
        self.check(rows)
        deviation = np.sqrt(self.variance_)
        # Rounding alone gives a constant column a tiny variance, relative to its size.
        constant = deviation <= 1e-6 * np.maximum(1.0, np.abs(self.mean_))
        factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
        scaled = (rows - self.mean_.astype(np.float32)) * factor.astype(np.float32)
        clipped: NDArray[np.float32] = np.clip(scaled, -CLIP, CLIP).astype(np.float32, copy=False)
        return clipped

    def check(self, rows: NDArray[np.floating]) -> None:
        """Raises InvalidArgumentError for a wrong width or a non-finite value."""
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise InvalidArgumentError(f"features must have shape (n, {self.dim}), got {rows.shape}")
        finite = np.isfinite(rows)
        if not finite.all():
            row, column = (int(i) for i in np.argwhere(~finite)[0])
            raise InvalidArgumentError(
                f"feature column {column} is not finite: row {row} holds {rows[row, column]}; check the graph's reader"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim}, count={self.count_})"
