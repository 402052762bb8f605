"""Tuning a PyTorch module from Python."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.build import build_network
from tvm_gnn_cost.ansor.build_result import BuildResult
from tvm_gnn_cost.ansor.networks import network_tasks
from tvm_gnn_cost.ansor.tuning import tune_tasks
from tvm_gnn_cost.networks import Network, with_layout
from tvm_gnn_cost.records.tuning_run import TuneOptions, TuneProgress, TuneResult
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.progress import Observer, unobserved

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask
    from tvm.auto_scheduler.cost_model.cost_model import PythonBasedModel
    from tvm.target import Target

    from tvm_gnn_cost.networks.torch_modules import ExampleInputs, TorchModule


TRIALS = 1000
"""What `tune_module` measures where nothing else is said."""


@dataclass(frozen=True)
class TunedModule:
    """A tuned module.

    Attributes:
        network: the module as a Relay network, with its parameters and its inputs.
        tasks: the tuning tasks in it.
        tuning: what the tuning run did; `tuning.log_file` has the best schedules.
    """

    network: Network
    tasks: tuple[SearchTask, ...]
    tuning: TuneResult

    def build(self, *, seed: int = 0) -> BuildResult:
        """Compile it with the best records of the run's log, see `build_network`; `seed` is of the inputs it checks."""
        return build_network(self.network, self.tuning.log_file, self.tasks[0].target, seed=seed)


def tune_module(
    module: TorchModule,
    example_inputs: ExampleInputs,
    target: str | Target = "host",
    *,
    layout: str | None = None,
    trials: int | None = None,
    log_file: str | os.PathLike[str] | None = None,
    resume: bool = False,
    model: PythonBasedModel | None = None,
    options: TuneOptions | None = None,
    seed: int = 0,
    search_params: dict[str, Any] | None = None,
    database: str | os.PathLike[str] | None = None,
    observer: Observer[TuneProgress] = unobserved,
) -> TunedModule:
    """Tune a PyTorch module for inputs of the examples' shapes and types.

    The module is traced in evaluation mode and is left as it was; a Python branch in it is followed as the examples
    take it. Ctrl-C stops the run at the next safe point, and what was measured is in the log: `resume=True` goes on.

    Args:
        module: any module that `torch.jit.trace` can follow, a script module, or a `torch.export.ExportedProgram`.
        example_inputs: a tensor, several in the order of `forward`, or a mapping by the names that it gives them.
        target: a target, its string, or "host" for this machine's CPU.
        layout: convert its convolutions to "NHWC" (better on CPUs) or "NCHW"; None leaves them as they are.
        trials: schedules to measure in all, over all tasks; a resumed run counts those in its log. None is what
            `options` say, and 1000 without them.
        log_file: the record log; None is `CLASS.json` in the working directory.
        resume: go on from the log.
        model: any PythonBasedModel; None is a pre-trained `GNNCostModel`.
        options: the rest of the budget, and how schedules are measured.
        seed: of the model and the search.
        search_params: `SketchPolicy` parameters that differ from TVM's defaults.
        database: a folder of schedules that the searches begin from, and that what is measured is added to; see
            `make_search_policies`.
        observer: told of every change of phase and every measured batch.

    Raises InvalidArgumentError for arguments that do not fit, WorkloadError where the module cannot be traced, where
    TVM cannot import an operator of it (all are named), where a shape depends on the inputs' values, or where nothing
    can be tuned; RecordError for a log that cannot be read or written.
    """
    options = options or TuneOptions(trials=TRIALS)
    if trials is not None:
        options = replace(options, trials=trials)
    require_auto_scheduler()
    from tvm_gnn_cost.ansor.cost_model import GNNCostModel
    from tvm_gnn_cost.networks.torch_modules import from_module

    network = from_module(module, example_inputs)
    if layout is not None:
        network = with_layout(network, layout)
    tasks, weights = network_tasks(network, target)
    tuning = tune_tasks(
        tasks,
        GNNCostModel(seed=seed) if model is None else model,
        f"{network.name}.json" if log_file is None else log_file,
        options,
        weights=weights,
        resume=resume,
        seed=seed,
        search_params=search_params,
        observer=observer,
        source=network.name,
        database=database,
    )
    return TunedModule(network, tuple(tasks), tuning)
