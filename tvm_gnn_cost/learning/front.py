"""What is the same in every front of the cost model: how users load and save it, and what it says of itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from tvm_gnn_cost.graphs.source import StageGraphSource
from tvm_gnn_cost.learning.config import TrainerConfig
from tvm_gnn_cost.learning.cost_model import CostModelCore, UpdateCallback, UpdateReport

Source = TypeVar("Source", bound=StageGraphSource)
Model = TypeVar("Model", bound="CostModelFront")

MAX_SOURCES = 64
"""Tasks whose computations are remembered; the one longest unused is dropped first."""


class _Load:
    """`load` of a cost model, which means two things: see `__get__`."""

    def __get__(self, model: Model | None, owner: Callable[..., Model]) -> Callable[..., Model]:
        def load(file_name: str | PathLike[str], device: str | None = None) -> Model:
            """The model saved in a file: called on the class, a new one; called on a model, that model, in place.

            Args:
                file_name: a file that `save` wrote.
                device: "auto", "cpu", "cuda" or "cuda:1"; None is "auto" for a new model, and the model's own in place.

            Raises CheckpointError where the file is missing, damaged, foreign or outdated; the model is then as it was.
            """
            loaded = owner(None, device=device or "auto") if model is None else model
            loaded.core.load(file_name, device or str(loaded.core.trainer.device))
            return loaded

        return load


class CostModelFront:
    """A mixin for the class that a scheduler calls, before that scheduler's own base.

    Attributes:
        core: the model without TVM: what it has learnt, and its options.
        sources: of the tasks that came up.
    """

    load: ClassVar[_Load] = _Load()
    core: CostModelCore
    sources: RecentSources[Any]

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
        cost_aware: bool = True,
    ) -> None:
        """A model that has learnt nothing yet but what a pretrained network has.

        Args:
            pretrained: "auto" starts from the network shipped for the target, where there is one; a path starts from
                that checkpoint; None starts cold. A cold model explores at random until it has been trained.
            seed: of everything random in the model. The same seed and the same calls give the same scores.
            device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:1".
            num_warmup_sample: measurements, default 0: a cold model scores at random until it has learnt from more.
            config: options of the learner; default `TrainerConfig()`. With a pretrained network, the sizes of the
                network are the checkpoint's.
            model_file: if given, the model is saved there after every update.
            callbacks: each is called with an `UpdateReport` after every update.
            cost_aware: of candidates that promise about the same, auto_scheduler's search gets those first that take
                less time to build and measure; what `predict` says of a list of states does not change.

        Raises InvalidArgumentError where an option is wrong, CheckpointError where the checkpoint cannot be used.
        """
        self.core = CostModelCore(
            pretrained,
            seed,
            device=device,
            num_warmup_sample=num_warmup_sample,
            config=config,
            model_file=model_file,
            callbacks=callbacks,
            cost_aware=cost_aware,
        )
        self.sources = RecentSources[Any]()
        self._register()

    def _register(self) -> None:
        """Makes the object by which the scheduler knows the model."""
        raise NotImplementedError

    @property
    def is_warm(self) -> bool:
        """Whether scores come from a trained network; else they explore at random."""
        return self.core.is_warm

    @property
    def num_records(self) -> int:
        """Measurements learnt from so far; those of a pretrained network do not count."""
        return self.core.num_records

    @property
    def last_update(self) -> UpdateReport | None:
        """What the last update did; None before the first."""
        return self.core.last_update

    @property
    def card(self) -> dict[str, Any] | None:
        """Of the network that it started from: what that was trained on, and how well it ranks; None without one."""
        return self.core.card

    def describe_score(self, score: float) -> str:
        """What a score of this model says, in words."""
        if score == -math.inf:
            return "the target cannot run this schedule"
        if not self.is_warm:
            return "no prediction: no trained network for this target"
        return f"predicted relative throughput {score:.3g} (1: as fast as the best measured schedule)"

    def save(self, file_name: str | PathLike[str]) -> None:
        """Writes the model to one file, atomically; folders that are not there are made.

        Raises CheckpointError, and leaves what was there as it was.
        """
        self.core.save(file_name)

    def __reduce__(self) -> NoReturn:
        """Models are neither copied nor pickled. Raises TypeError."""
        raise TypeError(
            f"a {type(self).__name__} cannot be copied or pickled: write it with `save`, read it with `load`"
        )

    def __repr__(self) -> str:
        state = "warm" if self.is_warm else "cold"
        return f"{type(self).__name__}({state}, {self.num_records} records, {len(self.sources)} tasks)"


class RecentSources(Generic[Source]):
    """What makes the graphs of the tasks that came up last, one for each."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}

    def of(
        self, key: str, make: Callable[[], Source], is_current: Callable[[Source], bool] = lambda source: True
    ) -> Source:
        """The source of a task: the one that is there, if it is current, or a new one.

        Args:
            key: of the task.
            make: makes the source.
            is_current: whether the source that is there is still the task's.
        """
        source = self._sources.pop(key, None)
        if source is None or not is_current(source):
            source = make()
            while len(self._sources) >= MAX_SOURCES:
                del self._sources[next(iter(self._sources))]
        self._sources[key] = source  # last: most recently used
        return source

    def __len__(self) -> int:
        return len(self._sources)
