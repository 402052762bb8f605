"""Training from record logs: what `tvm-gnn-cost train` runs for auto_scheduler."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from tvm_gnn_cost.learning.parallel import Processes
from tvm_gnn_cost.logs.shards import read_logs
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.locks import only_writer
from tvm_gnn_cost.system.progress import Observer, Progress
from tvm_gnn_cost.training.train import TrainOptions, TrainResult, make_folders, train_network


def train_on_logs(
    logs: Sequence[Path],
    output: Path,
    work: Path,
    options: TrainOptions,
    observer: Observer[Progress],
    *,
    definitions: Sequence[Path] = (),
    restart: bool = False,
    processes: Processes | None = None,
) -> TrainResult | None:
    """Reads the logs and trains a network on them; None if Ctrl-C (in the main thread) ended it, and the same call goes
    on.

    Args:
        logs: record logs of one kind of target, see `find_logs`.
        output: the checkpoint to write.
        work: a folder for the stage graphs and the state of the training.
        options: how to train.
        observer: told of every log that is read, and then what `train_network` tells.
        definitions: Python files that register workloads of the logs; they are executed.
        restart: forget the state of a training that was stopped.
        processes: that train it together; the first reads what is new.

    Raises what `read_logs` and `train_network` raise, and BusyError where another process trains in `work`.
    """
    make_folders(output, work)
    is_first = processes is None or processes.is_first
    with only_writer(work) if is_first else contextlib.nullcontext(), Interrupts() as interrupts:

        def reading(progress: Progress) -> None:
            interrupts.check()
            observer(progress)

        # Held throughout: TVM swallows a KeyboardInterrupt, and one that comes while a file is made leaves it behind.
        with interrupts.held():
            try:
                if processes is not None and not processes.is_first:
                    processes.wait()
                shards = read_logs(logs, work / "graphs", definitions, reading)
                if processes is not None and processes.is_first:
                    processes.wait()
            except KeyboardInterrupt:
                return None
            return train_network(
                shards,
                output,
                work,
                options,
                observer,
                restart=restart,
                stop=lambda: interrupts.requested,
                processes=processes,
            )
