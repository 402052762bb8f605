"""Relay asks for other people's tuning records over the network whenever it compiles; here it does not."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tvm_gnn_cost.system.find_tvm import require_tvm

_TOPHUB_LOCATION = "TOPHUB_LOCATION"
"""Where AutoTVM fetches tuning records from; "NONE" means nowhere (`tvm/autotvm/env.py`, `tophub.py`)."""


@contextmanager
def without_downloads() -> Iterator[None]:
    """Keeps Relay from fetching other people's tuning records over the network while it compiles.

    Offline that matters: TVM's GPU schedules ask for such records by themselves, and where these cannot be fetched
    `extract_tasks` ends after the first such operator, without an error. Its front ends compile as well, to fold
    constants.
    """
    require_tvm()
    from tvm import autotvm

    location = os.environ.get(_TOPHUB_LOCATION)
    os.environ[_TOPHUB_LOCATION] = "NONE"
    try:
        with autotvm.apply_history_best([]):
            yield
    finally:
        if location is None:
            os.environ.pop(_TOPHUB_LOCATION, None)
        else:
            os.environ[_TOPHUB_LOCATION] = location


@contextmanager
def without_remarks() -> Iterator[None]:
    """Keeps Relay from remarking, while it compiles, what AutoTVM has not tuned or has no template for."""
    require_tvm()
    from tvm import autotvm

    silent, autotvm.GLOBAL_SCOPE.silent = autotvm.GLOBAL_SCOPE.silent, True
    strategy = logging.getLogger("strategy")
    level = strategy.level
    strategy.setLevel(logging.ERROR)
    try:
        yield
    finally:
        autotvm.GLOBAL_SCOPE.silent = silent
        strategy.setLevel(level)
