"""What experiments plan their runs with; runs that several of them need are made once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tvm_gnn_cost.evaluation.held_out import fitting_sizes, learnt_sizes
from tvm_gnn_cost.evaluation.methods import Method
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.evaluation.run_options import RunOptions
from tvm_gnn_cost.evaluation.runs import HELD_OUT, UNSEEN, Plan, Preparation, Run, checkpoint_digest, digest
from tvm_gnn_cost.evaluation.split import Fold, novelty
from tvm_gnn_cost.learning.metrics import MIN_RANKED

_SHOWN = 3  # names of pools in a message


class Planner:
    """What experiments plan with, fold by fold; `Experiment.plan` is called for each.

    Attributes:
        problems, options: what is evaluated, and how.
        fold: the one that is planned.
        methods: those that can be tested on it.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        folds: Sequence[Fold],
        methods: Mapping[str, Method],
        options: RunOptions,
        folder: Path,
    ) -> None:
        self.problems, self.options = problems, options
        self.fold = Fold("", (), ())
        self.methods: list[Method] = []
        self._all_methods, self._folder = list(methods.values()), folder
        self._sizes = learnt_sizes([problems[i] for fold in folds for i in fold.tests], options.learnt)
        self._experiment = ""
        self._preparations: dict[Path, Preparation] = {}
        self._runs: dict[tuple[str, str], Run] = {}
        self._skipped: dict[str, _Skipped] = {}
        self._checkpoints = {
            method.checkpoint: (checkpoint_digest(method.checkpoint), method.known())
            for method in self._all_methods
            if method.checkpoint is not None
        }

    def plan(self) -> Plan:
        """What was planned so far."""
        skipped = tuple(found.text(reason) for reason, found in self._skipped.items())
        return Plan(tuple(self._preparations.values()), tuple(self._runs.values()), skipped)

    def begin_fold(self, fold: Fold) -> None:
        """What is planned from now on is of this fold."""
        self.fold, self._experiment = fold, ""
        self.methods = [method for method in self._all_methods if self._can_start(method)]

    def begin_experiment(self, name: str) -> None:
        """What is planned from now on is asked for by this experiment."""
        self._experiment = name

    def each(self, methods: Iterable[Method]) -> list[tuple[Method, int]]:
        """These methods with every seed."""
        return [(method, seed) for seed in range(self.options.seeds) for method in methods]

    def add_held_out(self) -> None:
        """Runs that learn some records of each tested task and rank its others."""
        least = min(self._sizes) + MIN_RANKED
        for index in self.fold.tests:
            fitting = fitting_sizes(self.problems[index], self._sizes)
            if not fitting:
                self.skip(
                    f"with fewer than {least} records none is left to rank after {min(self._sizes)} are learnt "
                    "(`learnt`)",
                    index,
                )
                continue
            for method, seed in self.each(self.methods):
                self.add(HELD_OUT, method, seed, index, self.start_of(method, seed), sizes=fitting)

    def add_transfer(self, method: Method, seed: int, training: Sequence[int], *, whole: bool) -> None:
        """Runs that learn these problems beforehand and rank all records of the tested ones."""
        trained = self._trained(method, seed, training)
        is_trained = method.checkpoint is None and method.training_seeds(seed)
        count = len({self.problems[i].pool.workload for i in training}) if is_trained else 0
        known = self._known()
        for index in self.fold.tests:
            new = novelty(self.problems[index].pool, *known)
            self.add(UNSEEN, method, seed, index, trained, novelty=new, workloads=count, whole=whole)

    def start_of(self, method: Method, seed: int) -> tuple[Path, ...]:
        """What the method starts from where it then learns the task's own records."""
        return self._trained(method, seed, self.fold.training) if method.pretrained else ()

    def add(
        self,
        kind: str,
        method: Method,
        seed: int,
        index: int,
        trained: tuple[Path, ...],
        how: Sequence[Any] | None = None,
        **about: Any,
    ) -> None:
        """A run, unless another experiment has planned it.

        Args:
            index: of the problem.
            trained: files that the method starts from.
            how: what else decides the result, as JSON values; None: the sizes.
            about: attributes of `Run`.
        """
        start = [
            self._checkpoints[path][0] if path in self._checkpoints else path.name for path in trained
        ]  # by content: a checkpoint may be moved
        decided = [about.get("sizes", ())] if how is None else list(how)
        key = digest(kind, method.options(), seed, self.problems[index].digest, start, decided)
        run = Run(key, kind, method.name, seed, self.fold.name, index, trained, **about)
        # Of a curve the whole training set is the unseen experiment: one run serves both.
        known = self._runs.get((key, method.name))
        if known is None or (run.whole and not known.whole):
            self._runs[key, method.name] = run

    def skip(self, reason: str, index: int | None = None) -> None:
        """What the experiment cannot do, and of which problem; None: of none."""
        found = self._skipped.setdefault(reason, _Skipped())
        if self._experiment:
            found.experiments[self._experiment] = None
        if index is not None:
            found.pools[self.problems[index].pool.name] = None

    def skip_untrained(self, reason: str) -> None:
        """What cannot be done for want of training pools."""
        self.skip(f"{reason} (give some as `training`)")

    def _can_start(self, method: Method) -> bool:
        if not method.pretrained or method.checkpoint is not None or self.fold.training:
            return True
        self.skip_untrained(f"{method.name}: it learns other tasks first, and there are no training pools")
        return False

    def _known(self) -> tuple[set[str], set[str]]:
        """The workloads and operators that methods of the fold learn; without training pools, those of checkpoints."""
        if self.fold.training:
            pools = [self.problems[i].pool for i in self.fold.training]
            return {pool.workload for pool in pools}, {pool.operator for pool in pools}
        workloads, operators = set[str](), set[str]()
        for _, (known_workloads, known_operators) in self._checkpoints.values():
            workloads |= known_workloads
            operators |= known_operators
        return workloads, operators

    def _trained(self, method: Method, seed: int, training: Collection[int]) -> tuple[Path, ...]:
        """The files of what the method learnt of these problems; preparations make them."""
        if method.checkpoint is not None:
            return (method.checkpoint,)
        # In an order of their own, so that a method does not depend on the order in which logs were named.
        learnt = tuple(sorted(training, key=lambda i: self.problems[i].digest))
        options = method.training_options()
        paths = []
        for training_seed in method.training_seeds(seed):
            name = digest(options, training_seed, [self.problems[i].digest for i in learnt])
            path = self._folder / f"{options['model']}-{name}{method.suffix}"
            self._preparations.setdefault(path, Preparation(method.name, training_seed, learnt, path))
            paths.append(path)
        return tuple(paths)


class _Skipped:
    """Who cannot do something, and of which pools: names, in order."""

    def __init__(self) -> None:
        self.experiments: dict[str, None] = {}
        self.pools: dict[str, None] = {}

    def text(self, reason: str) -> str:
        who = f"{', '.join(self.experiments)}: " if self.experiments else ""
        pools = list(self.pools)
        more = f" and {len(pools) - _SHOWN} more" if len(pools) > _SHOWN else ""
        return f"{who}{reason}" + (f": {', '.join(pools[:_SHOWN])}{more}" if pools else "")
