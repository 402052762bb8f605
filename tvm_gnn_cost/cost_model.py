"""`GNNCostModel`: the cost model that TVM's auto_scheduler calls, made of stage graphs and a learner.

When to use it: wherever a script has `auto_scheduler.XGBModel()`. It keeps the contracts of the C++ that calls it
(`src/auto_scheduler/cost_model.cc`, `search_policy/sketch_policy.cc`): scores are finite and positive, higher is
better, 1.0 is as fast as the best measured schedule of the task; a schedule that cannot run scores -inf.
"""

from __future__ import annotations

import ctypes
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import CheckpointError, InvalidArgumentError, TuningInterrupted
from tvm_gnn_cost.learning import FitReport, Trainer, TrainerConfig, load_checkpoint, save_checkpoint
from tvm_gnn_cost.learning.out_of_memory import is_out_of_memory
from tvm_gnn_cost.measured_graphs import read_measurements
from tvm_gnn_cost.measurements import check_pairs, task_flop, task_key
from tvm_gnn_cost.records import read_records
from tvm_gnn_cost.stage_graph.builder import BuiltGraphs, StageGraphBuilder
from tvm_gnn_cost.stage_graph.hardware import Hardware
from tvm_gnn_cost.stage_graph.native_builder import make_builder
from tvm_gnn_cost.stage_graph.schema import EDGE_DIM, NODE_DIM, SCHEMA_VERSION
from tvm_gnn_cost.tvm_compat import require_auto_scheduler
from tvm_gnn_cost.validity import valid_states

_auto_scheduler = require_auto_scheduler()

logger = logging.getLogger(__name__)

MAX_BUILDERS = 64
"""Tasks whose computations are remembered; the one longest unused is dropped first."""

_SMALLEST_EXPLORING_SCORE = 1e-3


@dataclass(frozen=True)
class UpdateReport:
    """What one `update` did.

    Attributes:
        new_records: measurements learnt from, the failed ones included.
        failed_records: those of them that failed.
        skipped_records: measurements left out (no usable cost, or a state that cannot be read).
        total_records: measurements learnt from so far.
        prequential_accuracy: pairwise accuracy, on the new records, of the scores the model gave *before* it learnt
            them; mean over tasks; nan for a cold model or where there are no pairs.
        fit: the learner's report.
    """

    new_records: int
    failed_records: int
    skipped_records: int
    total_records: int
    prequential_accuracy: float
    fit: FitReport

    def __str__(self) -> str:
        ranked = "cold" if math.isnan(self.prequential_accuracy) else f"{self.prequential_accuracy:.3f}"
        return (
            f"{self.new_records} new records ({self.failed_records} failed, {self.skipped_records} skipped), "
            f"{self.total_records} in all; pairwise accuracy before learning: {ranked}; "
            f"{self.fit.steps} steps in {self.fit.seconds:.1f} s"
        )


UpdateCallback = Callable[[UpdateReport], None]


class _Load:
    """`load` of GNNCostModel, which means two things: see `__get__`."""

    def __get__(self, model: GNNCostModel | None, owner: type[GNNCostModel]) -> Callable[..., GNNCostModel]:
        def load(file_name: str | PathLike[str], device: str | None = None) -> GNNCostModel:
            """The model saved in a file: called on the class, a new one; called on a model, that model, in place.

            Args:
                file_name: a file that `save` wrote.
                device: "auto", "cpu", "cuda" or "cuda:1"; None is "auto" for a new model, and the model's own in place.

            Raises CheckpointError where the file is missing, damaged, foreign or outdated; the model is then as it was.
            """
            loaded = owner(None, device=device or "auto") if model is None else model
            loaded._load_in_place(file_name, device or str(loaded._trainer.device))
            return loaded

        return load


class GNNCostModel(_auto_scheduler.cost_model.cost_model.PythonBasedModel):  # type: ignore[misc, name-defined]
    """Ranks schedules with a graph network on stage graphs, trained online as measurements come in.

    Args:
        pretrained: "auto" starts from the network shipped for the target, where there is one; a path starts from that
            checkpoint; None starts cold. A cold model explores at random until it has been trained.
        seed: of everything random in the model. The same seed and the same calls give the same scores.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:1".
        num_warmup_sample: measurements, default 0: a cold model scores at random until it has learnt from more.
        config: options of the learner; default `TrainerConfig()`. With a pretrained network, the sizes of the network
            are the checkpoint's.
        model_file: if given, the model is saved there after every update.
        callbacks: each is called with an `UpdateReport` after every update.

    Attributes:
        last_update: what the last update did; None before the first.
        card: of the network that it started from, see `model_card`; None without one.

    Raises:
        InvalidArgumentError: an option is wrong. CheckpointError: the checkpoint cannot be used.
    """

    search_params: Mapping[str, Any] = MappingProxyType({"eps_greedy": 0.2})
    """What `make_search_policies` asks of the search for this model, unless the user says otherwise.

    A fifth of each round is measured at random. TVM's own 0.05 is none of 16: with a network that is sure of itself
    from the first round on, a search that begins in the wrong place stays there (docs/experiments.md).
    """

    def __init__(
        self,
        pretrained: str | PathLike[str] | None = "auto",
        seed: int = 0,
        *,
        device: str = "auto",
        num_warmup_sample: int = 0,
        config: TrainerConfig | None = None,
        model_file: str | PathLike[str] | None = None,
        callbacks: Sequence[UpdateCallback] = (),
    ) -> None:
        self._register()
        if isinstance(num_warmup_sample, bool) or not isinstance(num_warmup_sample, int):
            raise InvalidArgumentError(f"num_warmup_sample must be an int, got {num_warmup_sample!r}")
        if config is not None and not isinstance(config, TrainerConfig):
            raise InvalidArgumentError(f"config must be a TrainerConfig, got {type(config).__name__}")
        if pretrained is not None and not isinstance(pretrained, str | PathLike):
            raise InvalidArgumentError(f"pretrained must be 'auto', a path or None, got {pretrained!r}")
        self.num_warmup_sample = num_warmup_sample
        self.model_file = model_file
        self.callbacks = tuple(callbacks)
        self.last_update: UpdateReport | None = None
        self.card: dict[str, Any] | None = None
        self._trainer = Trainer(config, node_dim=NODE_DIM, edge_dim=EDGE_DIM, seed=seed, device=device)
        self._config = config
        self._pretrained = False
        self._learnt_before = 0  # records that the pretrained network had learnt
        self._choose_pretrained = pretrained == "auto"  # by the target of the first task that comes
        self._generator = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
        self._builders: dict[tuple[Any, ...], StageGraphBuilder] = {}
        if pretrained is not None and not self._choose_pretrained:
            self._start_from(Path(pretrained))

    # -- what TVM calls --------------------------------------------------------------------------------------------

    def update(self, inputs: Sequence[Any], results: Sequence[Any]) -> None:
        """Learns from new measurements (lists of MeasureInput and MeasureResult, or TVM arrays of them).

        Failed measurements are learnt as slower than any other. Measurements without a usable cost (none, NaN, zero,
        negative) and states that cannot be read are counted, reported in the log and left out.

        Raises InvalidArgumentError where the lists differ in length or hold something else.
        """
        inputs, results = list(inputs), list(results)
        check_pairs(inputs, results)
        if not inputs:
            return
        batch = read_measurements(inputs, results, self._builder)
        if batch is None:
            return
        was_warm = self.is_warm
        try:
            fit = self._trainer.partial_fit(batch.graphs, batch.latency, batch.task, batch.flop)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            logger.error("no memory for the update, tuning goes on with what is known: %s", error)
            return
        self.last_update = UpdateReport(
            len(batch.latency),
            int(np.isinf(batch.latency).sum()),
            len(inputs) - len(batch.latency),
            self.num_records,
            fit.accuracy_before if was_warm else math.nan,
            fit,
        )
        logger.info("GNNCostModel: %s", self.last_update)
        for callback in self.callbacks:
            callback(self.last_update)
        if self.model_file is not None:
            try:
                self.save(self.model_file)
            except CheckpointError as error:  # a full disk must not end the search
                logger.error("%s", error)

    def predict(self, task: Any, states: Sequence[Any]) -> NDArray[np.float64]:
        """Scores, float64 (len(states),): relative throughput, or -inf for a state that cannot run.

        Never raises because of a bad state: that is scored -inf, and the log says so.
        """
        return self._score(task, states).scores

    def predict_stages(self, task: Any, states: Sequence[Any]) -> NDArray[np.float64]:
        """The scores of `predict`, then for every state the number of its computed stages and their scores.

        The packed format of `PythonBasedModel.predict_stages`. The stages' scores of a state sum to its score; a state
        that cannot run has 0 of them.
        """
        scored = self._score(task, states)
        parts: list[NDArray[np.float64]] = [scored.scores]
        graph = 0
        for i, readable in enumerate(scored.built.readable):
            shares = np.zeros(0)
            if readable:
                if np.isfinite(scored.scores[i]):
                    nodes = slice(scored.built.graphs.node_ptr[graph], scored.built.graphs.node_ptr[graph + 1])
                    mask = scored.built.scored_nodes[nodes]
                    shares = _shares(scored.time_shares[nodes][mask], float(scored.scores[i]))
                graph += 1
            parts += [np.array([float(len(shares))]), shares]
        return np.concatenate(parts)

    # -- more than TVM asks for ------------------------------------------------------------------------------------

    @property
    def is_warm(self) -> bool:
        """Whether scores come from a trained network; else they explore at random."""
        return self._pretrained or self.num_records > max(0, self.num_warmup_sample)

    @property
    def num_records(self) -> int:
        """Measurements learnt from so far; those of a pretrained network do not count."""
        return self._trainer.records_seen_ - self._learnt_before

    def predict_latency(self, task: Any, states: Sequence[Any]) -> NDArray[np.float64]:
        """Predicted latency in seconds, float64 (len(states),); nan where the state cannot run or the model is cold."""
        scored = self._score(task, states)
        latency = np.full(len(states), np.nan)
        if self.is_warm:
            latency[scored.built.readable] = scored.latency
            latency[~np.isfinite(scored.scores)] = np.nan
        return latency

    def time_shares(self, task: Any, state: Any) -> NDArray[np.float64]:
        """What part of one state's time the network gives to each stage: float64 (number of stages,), sum 1.

        In TVM's order, placeholders and inlined stages included. nan while the model is cold. Raises
        InvalidArgumentError for a state that cannot be read.
        """
        scored = self._score(task, [state])
        if not scored.built.readable[0]:
            raise InvalidArgumentError(f"the state of task {task.workload_key} cannot be read; the log says why")
        return scored.time_shares if self.is_warm else np.full(len(scored.time_shares), np.nan)

    def update_from_file(self, file_name: str | PathLike[str], n_lines: int | None = None) -> None:
        """Learns from a record log, the first `n_lines` of it if given. Bad lines are counted, reported and left out.

        Raises RecordError where the file is missing or is no record log at all.
        """
        log = read_records(file_name, n_lines)
        logger.info("GNNCostModel: loaded %d measurement records from %s", len(log), file_name)
        self.update(log.inputs, log.results)

    def save(self, file_name: str | PathLike[str]) -> None:
        """Writes the model to one file, atomically. Raises CheckpointError, and leaves what was there as it was."""
        extra = {
            "model": type(self).__name__,
            "num_warmup_sample": self.num_warmup_sample,
            "pretrained": self._pretrained,
            "choose_pretrained": self._choose_pretrained,
            "learnt_before": self._learnt_before,
            "card": self.card,
            "generator": self._generator.bit_generator.state,
        }
        save_checkpoint(file_name, self._trainer, extra, schema_version=SCHEMA_VERSION)

    load = _Load()

    def _load_in_place(self, file_name: str | PathLike[str], device: str) -> None:
        """Takes over what the file holds; a file that cannot be used changes nothing."""
        trainer, extra = load_checkpoint(file_name, device, schema_version=SCHEMA_VERSION)
        generator = np.random.default_rng()
        try:
            num_warmup_sample, learnt_before = int(extra["num_warmup_sample"]), int(extra["learnt_before"])
            pretrained, choose_pretrained = bool(extra["pretrained"]), bool(extra["choose_pretrained"])
            generator.bit_generator.state = extra["generator"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{file_name}: not the checkpoint of a cost model ({error!r})") from error
        self._trainer, self._config, self._generator = trainer, trainer.config, generator
        self.num_warmup_sample, self._learnt_before = num_warmup_sample, learnt_before
        self._pretrained, self._choose_pretrained = pretrained, choose_pretrained
        self.card = extra.get("card")
        self.last_update = None

    def adopt(self, trainer: Trainer) -> None:
        """Takes over a trained learner: the model is warm from now on."""
        self._trainer, self._pretrained, self._choose_pretrained = trainer, True, False
        self._learnt_before = trainer.records_seen_

    def __repr__(self) -> str:
        state = "warm" if self.is_warm else "cold"
        return f"{type(self).__name__}({state}, {self.num_records} records, {len(self._builders)} tasks)"

    # -- inside ----------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        """What `PythonBasedModel.__init__` does, and Ctrl-C is passed on to the user (see `TuningInterrupted`)."""

        def update(inputs: Any, results: Any) -> None:
            with _passing_on_interrupts():
                self.update(inputs, results)

        def predict(task: Any, states: Any, destination: Any) -> None:
            with _passing_on_interrupts():
                _fill(destination, self.predict(task, states))

        def predict_stages(task: Any, states: Any, destination: Any) -> None:
            with _passing_on_interrupts():
                _fill(destination, self.predict_stages(task, states))

        constructor = _auto_scheduler._ffi_api.PythonBasedModel
        self.__init_handle_by_constructor__(constructor, update, predict, predict_stages)

    def _start_from(self, path: Path) -> None:
        """Takes over a checkpoint's network, what it knows of tasks, and (unless given) its options."""
        seed, device = self._trainer.seed, str(self._trainer.device)
        trainer, extra = load_checkpoint(path, device, schema_version=SCHEMA_VERSION)
        if self._config is not None:
            sizes = trainer.config
            trainer.config = replace(
                self._config, network=sizes.network, hidden_dim=sizes.hidden_dim, num_layers=sizes.num_layers
            )
        trainer.seed = seed
        trainer.generator = np.random.default_rng(np.random.SeedSequence(seed).spawn(2)[1])
        self.adopt(trainer)
        self.card = extra.get("card")

    def _builder(self, task: Any) -> StageGraphBuilder:
        key = (task.workload_key, str(task.target), int(task.layout_rewrite_option), Hardware.of(task))
        builder = self._builders.pop(key, None)
        if builder is None:
            builder = make_builder(task)
            while len(self._builders) >= MAX_BUILDERS:
                del self._builders[next(iter(self._builders))]
        self._builders[key] = builder  # last: most recently used
        if self._choose_pretrained:
            self._choose_pretrained = False
            shipped = shipped_checkpoint("gpu" if builder.hardware.is_gpu else "cpu")
            if shipped is None:
                logger.info("GNNCostModel: no pretrained network is shipped for %s; starting cold", task.target)
            elif self._trainer.records_seen_ == 0:
                self._start_from(shipped)
        return builder

    def _score(self, task: Any, states: Sequence[Any]) -> _Scored:
        builder = self._builder(task)
        built = builder.build(states)
        valid = valid_states(builder, states, built)
        count = len(built.graphs)
        time_shares = np.zeros(len(built.scored_nodes))
        latency = np.full(count, np.nan)
        if self.is_warm and count:
            prediction = self._trainer.predict(built.graphs, task_key(task), task_flop(builder.task))
            relative = np.nan_to_num(prediction.relative_throughput, nan=1e-6, posinf=1e3, neginf=1e-6)
            time_shares = prediction.time_shares.astype(np.float64)
            latency = prediction.latency
        else:
            relative = self._generator.uniform(_SMALLEST_EXPLORING_SCORE, 1.0, count)
        scores = np.full(len(states), -np.inf)
        scores[built.readable] = relative
        scores[~valid] = -np.inf
        return _Scored(scores, latency, time_shares, built)


@dataclass(frozen=True)
class _Scored:
    """scores (states,); latency (graphs,) seconds; time shares (nodes,); and the graphs."""

    scores: NDArray[np.float64]
    latency: NDArray[np.float64]
    time_shares: NDArray[np.float64]
    built: BuiltGraphs


@contextmanager
def _passing_on_interrupts() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise TuningInterrupted("interrupted by Ctrl-C while the cost model was at work") from interrupt


def _fill(destination: Any, values: NDArray[np.float64]) -> None:
    """Writes the values to the float array that C++ points to."""
    pointer = ctypes.cast(destination, ctypes.POINTER(ctypes.c_float))
    np.ctypeslib.as_array(pointer, shape=values.shape)[:] = values


def shipped_checkpoint(kind: str) -> Path | None:
    """The pretrained network in the package for a kind of target, "cpu" or "gpu", if there is one."""
    path = Path(__file__).with_name("pretrained") / f"{kind}.ckpt"
    return path if path.exists() else None


def _shares(time_shares: NDArray[np.float64], score: float) -> NDArray[np.float64]:
    """The score, divided among stages as their time is; evenly where they have none."""
    total = time_shares.sum()
    if not total > 0:
        return np.full(len(time_shares), score / max(1, len(time_shares)))
    return time_shares * (score / total)
