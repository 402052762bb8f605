"""Which pools are learnt from and which are tested on.

The unit is the workload: what is computed, whatever machine it was measured on. A workload is never on both sides, so
no method has seen the computation that it is tested on (except where the user gives training pools of their own, of
another machine say: then every figure says what was known, see `novelty`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.records.pool import Pool
from tvm_gnn_cost.system.files import read_json

TEST, VALIDATION, TRAIN = "test", "validation", "train"

NOVELTIES = ("known workload", "unseen shape", "unseen operator")
"""What a tested pool is to a method that learnt others, see `novelty`."""

LARGEST_SUBSET = 0.8
"""A larger share of the training workloads would tell little beside all of them."""


@dataclass(frozen=True)
class Split:
    """Named operators and workloads that are kept for testing and for validation; all others are for training.

    Attributes:
        test_operators, validation_operators: as in `Pool.operator`.
        test_workloads, validation_workloads: names of logs without .json or .json.gz, or workload keys.
    """

    test_operators: tuple[str, ...] = ()
    validation_operators: tuple[str, ...] = ()
    test_workloads: tuple[str, ...] = ()
    validation_workloads: tuple[str, ...] = ()

    def parts(self, pools: Sequence[Pool], workload_of: Callable[[str], str] = str) -> list[str]:
        """`TEST`, `VALIDATION` or `TRAIN` for each pool.

        Args:
            workload_of: what `Pool.workload` is for a workload's name or key that is none of the pools'.

        Raises InvalidArgumentError for a name that matches no pool, and for a workload that would be in two parts.
        """
        found: dict[str, str] = {}
        unmatched = []
        for field in fields(self):
            part, _, by = field.name.partition("_")
            for name in getattr(self, field.name):
                workloads = _operator(name, pools) if by == "operators" else _workload(name, pools, workload_of)
                if not workloads:
                    unmatched.append(f"{name} ({field.name})")
                for workload in sorted(workloads):
                    if found.setdefault(workload, part) != part:
                        raise InvalidArgumentError(
                            f"the split has {workload} in {found[workload]} and in {part} ({name}); it can be in one"
                        )
        if unmatched:
            raise InvalidArgumentError(
                f"the split names what none of the pools is: {', '.join(unmatched)}; give the pools that it means, or "
                "take the names out"
            )
        return [found.get(pool.workload, TRAIN) for pool in pools]


@dataclass(frozen=True)
class Fold:
    """What is learnt before, and what is tested: indices of pools.

    Attributes:
        name: for tables.
        training: pools whose records a method may learn beforehand; none: it starts from a checkpoint or cold.
        tests: pools that it is tested on.
    """

    name: str
    training: tuple[int, ...]
    tests: tuple[int, ...]


def read_split(path: str | os.PathLike[str]) -> Split:
    """A split from a JSON file: an object of lists of names, its keys the attributes of `Split`, any left out.

    Raises InvalidArgumentError for a file that is missing or is not one.
    """
    known = [field.name for field in fields(Split)]
    data = read_json(path, "split", InvalidArgumentError)
    if not isinstance(data, dict) or not data.keys() <= set(known):
        raise InvalidArgumentError(f"split {path} must be a JSON object with some of the keys {', '.join(known)}")
    for key, names in data.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InvalidArgumentError(f"split {path}: {key} must be a list of names")
    return Split(**{key: tuple(names) for key, names in data.items()})


def split_fold(
    tested: Sequence[Pool],
    training: Sequence[Pool],
    split: Split,
    part: str = TEST,
    workload_of: Callable[[str], str] = str,
) -> Fold:
    """One fold: what the split keeps for testing, and what it leaves for training.

    Args:
        tested: the pools at hand, numbered 0 ...
        training: further pools to learn from, numbered after them; where there are any, those of `tested` are not
            learnt from.
        part: `TEST`, or `VALIDATION` to test on that one.
        workload_of: see `Split.parts`.

    Raises InvalidArgumentError where nothing is left to test; see also `Split.parts`.
    """
    parts = split.parts([*tested, *training], workload_of)
    tests = tuple(i for i in range(len(tested)) if parts[i] == part)
    if not tests:
        raise InvalidArgumentError(f"the split leaves no {part} pool among the {len(tested)} that are given")
    learnt = range(len(tested), len(parts)) if training else range(len(parts))
    return Fold(part, tuple(i for i in learnt if parts[i] == TRAIN), tests)


def hold_out_folds(pools: Sequence[Pool], by: str, count: int) -> list[Fold]:
    """Folds that together test every pool; all pools of an operator, or of a workload, are in the same one.

    Args:
        by: "operator" or "workload".
        count: folds; fewer where there are fewer groups.

    Raises InvalidArgumentError for fewer than two groups: nothing would be left to learn.
    """
    if by not in ("operator", "workload"):
        raise InvalidArgumentError(f"pools are held out by operator or by workload, not by {by!r}")
    if count < 2:
        raise InvalidArgumentError(f"at least 2 folds are needed, not {count}")
    of_pool = [pool.operator if by == "operator" else pool.workload for pool in pools]
    groups = sorted(set(of_pool))
    if len(groups) < 2:
        raise InvalidArgumentError(
            f"all pools have the {by} {groups[0]}: with it held out nothing is left to learn; give more pools"
        )
    # The same folds for every seed, so that each pool is tested with every seed by methods that learnt the same.
    order = np.random.default_rng(0).permutation(groups)
    count = min(count, len(groups))
    folds = []
    for number in range(count):
        held = set(order[number::count])
        tests = tuple(i for i, group in enumerate(of_pool) if group in held)
        training = tuple(i for i, group in enumerate(of_pool) if group not in held)
        folds.append(Fold(f"fold {number + 1} of {count}", training, tests))
    return folds


def novelty(pool: Pool, workloads: Collection[str], operators: Collection[str]) -> str:
    """One of `NOVELTIES`, for a method that learnt these workloads and operators."""
    if pool.workload in workloads:
        return NOVELTIES[0]
    return NOVELTIES[1] if pool.operator in operators else NOVELTIES[2]


def training_subsets(workloads: Iterable[str], counts: Sequence[int], seed: int) -> dict[int, frozenset[str]]:
    """Growing sets of workloads, by their number: those of `counts` up to `LARGEST_SUBSET` of all, and all.

    A smaller set is part of every larger one, so that a learning curve adds workloads and never changes them.
    """
    names = sorted(set(workloads))
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    sizes = [count for count in sorted(set(counts)) if count <= LARGEST_SUBSET * len(order)]
    return {size: frozenset(order[:size]) for size in [*sizes, len(order)]}


def _operator(name: str, pools: Sequence[Pool]) -> set[str]:
    return {pool.workload for pool in pools if pool.operator == name}


def _workload(name: str, pools: Sequence[Pool], workload_of: Callable[[str], str]) -> set[str]:
    """The workloads that a name means: at most one, but for a log of several tasks."""
    found = {p.workload for p in pools if name in (p.workload, p.name, p.name.partition(": ")[0])}
    return found or {p.workload for p in pools} & {workload_of(name)}
