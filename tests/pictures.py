"""What a picture must be to count as drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def assert_drawn(path: str | Path) -> None:
    """The file is a picture that matplotlib reads, with marks on at least a hundredth of it, in several colours."""
    image = pytest.importorskip("matplotlib.image").imread(path)
    colours, counts = np.unique((image[..., :3].reshape(-1, 3) * 255).astype(np.uint8), axis=0, return_counts=True)
    assert len(colours) >= 8, f"{path} has {len(colours)} colours"
    assert counts.max() < 0.995 * counts.sum(), f"{path} is empty"
