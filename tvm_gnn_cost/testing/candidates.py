"""Candidates of MetaSchedule to try something on: as its search makes them, sampled and mutated, nothing measured."""

from __future__ import annotations

from typing import Any

from tvm_gnn_cost.meta_schedule.api import ms


def sample_candidates(mod: Any, target: Any, count: int, seed: int = 1) -> list[Any]:
    """At most `count` MeasureCandidates of a module's own search, traces that its postprocessors were applied to.

    The first call of a process takes seconds: TVM reads its intrinsics. Raises what TVM raises where it makes none.
    """
    search = ms.search_strategy.EvolutionarySearch(
        population_size=max(64, 2 * count), init_min_unmeasured=min(8, count), genetic_num_iters=1, max_fail_count=20
    )
    context = ms.TuneContext(
        mod=mod,
        target=target,
        space_generator="post-order-apply",
        search_strategy=search,
        task_name="sampled",
        rand_state=seed,
        num_threads=1,
    )
    context.pre_tuning(
        max_trials=count,
        num_trials_per_iter=count,
        design_spaces=context.generate_design_space(),
        database=ms.database.MemoryDatabase(),
        cost_model=ms.cost_model.RandomModel(seed=seed),
    )
    candidates = context.generate_measure_candidates()
    context.post_tuning()
    return list(candidates or [])
