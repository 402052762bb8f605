"""What must hold of every program that TVM can schedule, checked on some of its schedules.

Used by `benchmarks/random_programs.py` on thousands of programs and by a test on a few. The check of a task tells what
it is about to do, so that whoever watches it knows where it hangs or dies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray

from tvm_gnn_cost.ansor.cost_model import GNNCostModel
from tvm_gnn_cost.ansor.lowering import lowers
from tvm_gnn_cost.ansor.native.builder import make_builder
from tvm_gnn_cost.ansor.states.builder import StageGraphBuilder
from tvm_gnn_cost.ansor.states.loop_proof import loop_difference
from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.differences import graph_difference
from tvm_gnn_cost.graphs.schema import EDGE_FEATURES, NODE_FEATURES
from tvm_gnn_cost.testing.schedules import make_policy, sample_states

PROPERTIES = ("readable", "loops", "native", "features", "accepted wrongly", "rejected wrongly", "search")
"""What may be broken. Readable: the graph of a state can be made; loops: they are those that TVM prints; native: the
extension's graphs are Python's; features: finite and in their ranges; the verdict, twice; the search ends without an
error and finds what it looks for."""


@dataclass
class Checked:
    """What was found of one task.

    Attributes:
        phase: the last that was begun, of sample, graphs, verdict, search, build; "done" after all.
        states: schedules that were read.
        accepted: those of them that we accept.
        judged: those whose verdict was compared with TVM's.
        built: those of them that TVM built or lowered.
        found: schedules that a short search under the cost model ended with.
        unscheduled: why TVM itself makes no schedules of the program; "" where it does.
        faults: (property, what was seen), a few of each.
        broken: how many states, or searches, break a property.
    """

    phase: str = ""
    states: int = 0
    accepted: int = 0
    judged: int = 0
    built: int = 0
    found: int = 0
    unscheduled: str = ""
    faults: list[tuple[str, str]] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)

    def fault(self, name: str, what: str) -> None:
        """Counts one, and keeps the first of its kind."""
        if name not in self.broken:
            self.faults.append((name, what[:400]))
        self.broken[name] = self.broken.get(name, 0) + 1


def check_task(
    task: Any, states: int, builds: int, seed: int = 1, report: Callable[[Checked], object] = lambda _: None
) -> Checked:
    """Checks every property of a task.

    Args:
        task: a SearchTask.
        states: schedules to read, half sampled and half evolved.
        builds: at most so many schedules that we accept, and so many that we reject, are built for a CPU, those with
            extents that TVM gave as expressions first. For a GPU all are lowered and verified.
        seed: of the search.
        report: called as each phase begins and at the end, with what is known until then.
    """
    checked = Checked()

    def begin(phase: str) -> None:
        checked.phase = phase
        report(checked)

    begin("sample")
    try:
        sampled = sample_states(task, states, seed, evolved=True)
    except Exception as error:  # TVM's own rules cannot make a schedule of some programs
        checked.unscheduled = f"{type(error).__name__}: {last_line(error)}"[:200]
        checked.phase = "done"
        return checked
    checked.states = len(sampled)
    begin("graphs")
    builder = make_builder(task)
    built = builder.build(sampled)
    _check_graphs(task, sampled, built, checked)
    begin("verdict")
    ours = builder.can_run(sampled, built)
    checked.accepted = int(ours.sum())
    if builder.hardware.is_gpu:
        _compare(checked, sampled, ours, lowers(sampled, task))
    begin("search")
    _check_search(task, seed, checked)
    if not builder.hardware.is_gpu:
        begin("build")
        order = _doubtful_first(built)
        for i in [*order[ours[order]][:builds], *order[~ours[order]][:builds]]:
            _compare(checked, [sampled[i]], ours[[i]], np.array([builds_on_cpu(task, sampled[i])]))
            report(checked)
    begin("done")
    return checked


def _check_graphs(task: Any, states: Sequence[Any], native: BuiltGraphs, checked: Checked) -> None:
    builder = StageGraphBuilder(task)
    for state in states:
        try:
            nest = builder.loop_nest(state)
        except Exception as error:  # counted, whatever it is
            checked.fault("readable", f"{type(error).__name__}: {last_line(error)}")
            continue
        problem = loop_difference(state, nest)
        if problem is not None:
            checked.fault("loops", problem)
    python = builder.build(states)
    problem = graph_difference(native, python)
    if problem is not None:
        checked.fault("native", problem)
    for name, values, features in (
        ("node", python.graphs.node_features, NODE_FEATURES),
        ("edge", python.graphs.edge_features, EDGE_FEATURES),
    ):
        low, high = np.array([(f.low, f.high) for f in features], dtype=np.float32).T
        wrong = ~((values >= low) & (values <= high) & np.isfinite(values))
        for column in np.flatnonzero(wrong.any(axis=0)):
            seen = values[wrong[:, column], column][0]
            checked.fault("features", f"{name} feature {features[column].name} is {seen}")


def _doubtful_first(built: BuiltGraphs) -> NDArray[np.intp]:
    """The positions of the states, those that not every compiler can build before the others."""
    sure = np.ones(len(built.readable), bool)
    sure[np.flatnonzero(built.readable)[built.doubtful]] = False
    return np.argsort(sure, kind="stable")


def _check_search(task: Any, seed: int, checked: Checked) -> None:
    """A short search as tuning begins it, with a cold cost model. One that never ends is for who watches to see."""
    model = GNNCostModel(None, seed=seed, device="cpu")
    policy = make_policy(
        task,
        seed,
        model=model,
        sample_init_min_population=4,
        evolutionary_search_population=16,
        evolutionary_search_num_iters=2,
    )
    try:
        sampled = list(policy.sample_initial_population())
        found = list(policy.evolutionary_search(sampled, 4))
    except Exception as error:  # counted, whatever it is
        checked.fault("search", f"{type(error).__name__}: {last_line(error)}")
        return
    checked.found = len(found)
    if not sampled or not found:
        checked.fault("search", f"{len(sampled)} schedules sampled, {len(found)} found")


def _compare(checked: Checked, states: Sequence[Any], ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> None:
    checked.judged += len(states)
    checked.built += int(theirs.sum())
    for state, accepted in zip(
        [s for s, o, t in zip(states, ours, theirs, strict=True) if o != t], ours[ours != theirs], strict=True
    ):
        checked.fault("accepted wrongly" if accepted else "rejected wrongly", str(state))


def builds_on_cpu(task: Any, state: Any) -> bool:
    """Whether `tvm.build` makes a program of a CPU schedule."""
    try:
        schedule, arguments = task.compute_dag.apply_steps_from_state(state, task.layout_rewrite_option)
        tvm.build(schedule, arguments, task.target)
    except Exception:  # TVM's own error, whose text says why
        return False
    return True
