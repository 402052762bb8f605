"""What `build.build_network` says of a network that it compiled."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import BuildError, last_line

RECORD, NO_RECORD, SLOWER = "record", "no record", "record slower than untuned"


@dataclass(frozen=True)
class BuiltTask:
    """A task of a network as it was compiled.

    Attributes:
        name: of its functions.
        workload_key: its workload.
        uses: how often the network runs it.
        schedule: RECORD, NO_RECORD or SLOWER: by what it is scheduled; the latter two stay untuned.
        record_s: latency of its best record, as it was measured in tuning; None without one.
        tuned_s: of one call of it by that record, in the network's build, run by itself; None where it was not timed.
        untuned_s: of one call of it compiled alone, without its record; moves of data to another layout do not count.
            None where it was not timed.
        share: of the time of all functions of the build, each run by itself; None where it was not timed.
    """

    name: str
    workload_key: str
    uses: int
    schedule: str
    record_s: float | None
    tuned_s: float | None
    untuned_s: float | None
    share: float | None


@dataclass(frozen=True)
class BuildResult:
    """A compiled network.

    Attributes:
        library: what `relay.build` returns; `export` writes it.
        target: for which it was compiled.
        is_tuned: whether the build with records was kept; the other is the untuned one.
        tasks: in order of their first call.
        tuned_s: of one run of the build with records; None where it was not timed.
        untuned_s: of one run of the untuned build; None where it was not timed.
        difference: largest between outputs of the two builds, as a part of the largest value; None where not compared.
        unchecked: why the builds were neither compared nor timed, or None.
        inputs: name -> (shape, data type).
    """

    library: Any
    target: str
    is_tuned: bool
    tasks: tuple[BuiltTask, ...]
    tuned_s: float | None
    untuned_s: float | None
    difference: float | None
    unchecked: str | None
    inputs: dict[str, tuple[tuple[int, ...], str]]

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the library with its parameters, for `tvm.runtime.load_module`. Raises BuildError."""
        export_library(self.library, path)


def export_library(library: Any, path: str | os.PathLike[str]) -> None:
    """Write what TVM has compiled; folders that are not there are made. Raises BuildError."""
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        library.export_library(str(target))
    except Exception as error:  # the linker's and the file system's
        raise BuildError(
            f"{target} cannot be written: {last_line(error)}; a name that ends in .tar gets object files, to be "
            "linked where they are used"
        ) from error
