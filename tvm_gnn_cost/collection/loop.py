"""The loop of a collection.

For each workload, until its pool is complete or the time is up:

1. choose a batch: samples, evolved schedules and mutants (`exploration`);
2. build all of it, and nothing else meanwhile;
3. wait until the machine is quiet (`quietness`), measure one schedule at a time, and log each at once (`pool`);
4. let the model learn the batch.

A complete pool has a part of it measured again, which tells how far its numbers can be trusted.
"""

from __future__ import annotations

import logging
import math
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from tvm_gnn_cost.collection.exploration import Explorer
from tvm_gnn_cost.collection.options import CollectOptions, CollectResult, PoolResult, Workload
from tvm_gnn_cost.collection.pool import Pool, check_pool, complete_pool
from tvm_gnn_cost.collection.quietness import Quietness, wait_until_quiet
from tvm_gnn_cost.collection.wing import Wing
from tvm_gnn_cost.errors import InvalidArgumentError, WorkloadError
from tvm_gnn_cost.measuring.measurer import Measurer
from tvm_gnn_cost.records.tuning_run import TuneProgress
from tvm_gnn_cost.system.interrupts import Interrupts
from tvm_gnn_cost.system.locks import only_writer
from tvm_gnn_cost.system.progress import Observer, unobserved

logger = logging.getLogger("tvm_gnn_cost")

MIN_REMEASURED = 8
HOPELESS_BATCHES = 2
"""A workload is given up after so many batches in which every schedule failed."""


class _OutOfTime(Exception):
    """The collection's minutes are used up."""


def collect_pools(
    wing: Wing,
    workloads: Sequence[Workload],
    folder: Path,
    options: CollectOptions | None = None,
    observer: Observer[TuneProgress] = unobserved,
) -> CollectResult:
    """Measure a pool of schedules for each workload; pools that the folder already holds are completed.

    In the main thread Ctrl-C ends the collection, and the result says `interrupted`; every schedule that was measured
    is in its pool.

    Args:
        wing: the scheduler's.
        workloads: what to collect for, in this order; their tasks are the scheduler's.
        folder: where the pools are, in the scheduler's own format, and `about/NAME.json` with their descriptions.
        options: how much, and how.
        observer: told of every change of phase and every record; `TuneProgress.task` is the workload's index.

    Raises InvalidArgumentError where a pool was measured on another machine, for another target or with another TVM,
    RecordError where a file is unusable, BusyError where another process measures a pool, MeasurementError where there
    is no RPC server that fits, or none that answers, WorkloadError where TVM can schedule none of the workloads; one
    among others is left out.
    """
    options = options or CollectOptions()
    _check_names(workloads)
    done: list[PoolResult] = []
    left_out: list[str] = []
    interrupted = out_of_time = False
    with Interrupts(lambda: logger.warning("stopping, when what TVM is doing is done")) as interrupts:
        try:
            abouts = [check_pool(wing, folder, workload, options) for workload in workloads]  # before any is measured
            targets = [workload.task.target for workload in workloads]
            with Measurer(options.measure, targets, wing.toolchain) as measurer:
                run = _Run(wing, options, measurer, interrupts, observer)
                for i, (workload, about) in enumerate(zip(workloads, abouts, strict=True)):
                    if complete := complete_pool(wing, folder, workload, about, options):
                        done.append(complete)
                        continue
                    try:
                        with only_writer(folder / workload.name):
                            run.collect(i, Pool(wing, folder, workload, options))
                    except WorkloadError as error:
                        left_out.append(workload.label)
                        if len(left_out) == len(workloads):
                            raise
                        logger.warning("%s is left out: %s", workload.label, error)
                    finally:
                        if run.result is not None:
                            done.append(run.result)
        except KeyboardInterrupt:
            interrupted = True
        except _OutOfTime:
            out_of_time = True
    return CollectResult(tuple(done), interrupted, out_of_time, tuple(left_out))


class _Run:
    """One collection: its clock, its processes and its observer."""

    def __init__(
        self,
        wing: Wing,
        options: CollectOptions,
        measurer: Measurer,
        interrupts: Interrupts,
        observer: Observer[TuneProgress],
    ) -> None:
        self.result: PoolResult | None = None
        self._wing = wing
        self._options = options
        self._measurer = measurer
        self._interrupts = interrupts
        self._observer = observer
        self._start = time.monotonic()
        self._warned = False

    def collect(self, index: int, pool: Pool) -> None:
        """Complete a pool; `result` is what it then is, also when this is interrupted."""
        self.result = None
        try:
            exhausted = self._fill(index, pool)
            self._measure_again(index, pool)
            if any(latency is not None for latency in pool.latencies):
                pool.complete(self._options, exhausted=exhausted)
        finally:
            if len(pool):
                pool.save()
                self.result = pool.result()

    def _fill(self, index: int, pool: Pool) -> bool:
        """Measure until the pool has its trials; whether schedules ran out before."""
        options = self._options
        if len(pool) >= options.trials:
            return False
        self._tell("search", index, pool)
        self._check()
        seed = [options.seed, zlib.crc32(pool.workload.name.encode()), len(pool)]
        with self._searching():
            sources = self._wing.sources(pool.workload, options, seed)
            explorer = Explorer(sources, options.mix, seed, pool.origins)
            explorer.add_measured(pool.records)
            if pool.records:
                sources.learn(pool.records)
        while (missing := options.trials - len(pool)) > 0:
            self._tell("search", index, pool)
            self._check()
            with self._searching():
                drawn = explorer.draw(min(missing, options.batch))
            if not drawn:
                logger.warning("%s: no further schedule was found after %d", pool.workload.label, len(pool))
                return True
            self._check()
            before = len(pool)
            self._measure_batch(index, pool, drawn)
            explorer.add_measured(pool.records[before:])
            if len(pool) >= HOPELESS_BATCHES * options.batch and not any(pool.latencies):
                errors = sorted({record.error_no for record in pool.records})
                logger.warning(
                    "%s: given up, all of %d schedules failed; TVM's error numbers: %s; logging at DEBUG says more",
                    pool.workload.label,
                    len(pool),
                    errors,
                )
                return False
            if len(pool) < options.trials:
                self._tell("train", index, pool)
                with self._searching():
                    sources.learn(pool.records[before:])
        return False

    def _searching(self) -> AbstractContextManager[None]:
        """A block of the scheduler's search: Ctrl-C ends it at once, or where that is not safe once it is over."""
        return nullcontext() if self._wing.can_be_interrupted else self._interrupts.held()

    def _measure_batch(self, index: int, pool: Pool, drawn: Sequence[tuple[str, Any]]) -> None:
        candidates = [candidate for _, candidate in drawn]
        self._tell("build", index, pool)
        built = self._measurer.build(candidates)
        quietness = self._wait(index, pool)
        with self._interrupts.held():
            pool.begin_batch(quietness)
            pool.save()  # a log without a description could not be continued
        self._check()
        self._tell("measure", index, pool)

        def keep(i: int, result: Any) -> None:
            with self._interrupts.held():
                pool.add(candidates[i], result, drawn[i][0])
                self._tell("measure", index, pool)

        try:
            self._measurer.measure(candidates, built, keep, self._check, self._race(pool))
        finally:
            with self._interrupts.held():
                pool.save()

    def _race(self, pool: Pool) -> Callable[[], float | None]:
        """What the next schedule's first reading is held against; nothing before one has run."""

        def race_s() -> float | None:
            best = min((latency for latency in pool.latencies if latency is not None), default=None)
            return None if best is None or self._options.race is None else self._options.race * best

        return race_s

    def _measure_again(self, index: int, pool: Pool) -> None:
        lines = [record.line for record in pool.records]
        chosen = choose_again(pool.latencies, lines, pool.remeasured, self._options.remeasure)
        batch = self._options.batch
        for start in range(0, len(chosen), batch):
            part = chosen[start : start + batch]
            candidates = [pool.records[i].candidate for i in part]
            self._tell("build", index, pool)
            self._check()
            built = self._measurer.build(candidates)
            quietness = self._wait(index, pool)
            self._tell("again", index, pool)

            def keep(i: int, result: Any, part: Sequence[int] = part, quietness: Quietness | None = quietness) -> None:
                with self._interrupts.held():
                    pool.add_second(part[i], result, quietness)

            try:
                self._measurer.measure(candidates, built, keep, self._check, self._race(pool))
            finally:
                with self._interrupts.held():
                    pool.save()

    def _wait(self, index: int, pool: Pool) -> Quietness | None:
        """Wait for a quiet machine; None where others measure."""
        if self._options.measure.tracker is not None:
            return None
        self._tell("wait", index, pool)
        limit = self._options.wait_quiet_s
        if self._options.minutes is not None:
            limit = min(limit, max(0.0, self._options.minutes * 60 - self._elapsed()))
        quietness = wait_until_quiet(limit)
        if not quietness.is_quiet and not self._warned:
            self._warned = True
            logger.warning(
                "this machine is not quiet, so its measurements are noisy: %s; batches measured meanwhile are marked "
                'with "quiet": false in %s',
                "; ".join(quietness.problems()),
                pool.about_path.parent,
            )
        return quietness

    def _elapsed(self) -> float:
        return time.monotonic() - self._start

    def _check(self) -> None:
        self._interrupts.check()
        if self._options.minutes is not None and self._elapsed() >= self._options.minutes * 60:
            raise _OutOfTime

    def _tell(self, phase: str, index: int, pool: Pool) -> None:
        now = pool.result()
        self._observer(
            TuneProgress(
                phase=phase,
                done=now.records,
                total=self._options.trials,
                failed=now.failed,
                latency_s=now.best_s,
                elapsed_s=self._elapsed(),
                task=index,
            )
        )


def choose_again(latencies: Sequence[float | None], lines: Sequence[int], done: set[int], share: float) -> list[int]:
    """The indices of the records to measure again: spread evenly from the fastest to the slowest, in random order.

    Args:
        latencies: of the pool's records in seconds; None for a failure, which is not measured again.
        lines: their lines in the log.
        done: the lines of those that were measured again before, which count.
        share: of the records to measure twice; at least `MIN_REMEASURED` are, where there are as many, and none for 0.
    """
    ranked = [i for i in np.argsort([math.inf if s is None else s for s in latencies], kind="stable")]
    ranked = [int(i) for i in ranked if latencies[i] is not None]
    if share <= 0 or not ranked:
        return []
    wanted = min(len(ranked), max(MIN_REMEASURED, math.ceil(share * len(latencies)))) - len(done)
    left = [i for i in ranked if lines[i] not in done]
    if wanted <= 0 or not left:
        return []
    places = np.linspace(0, len(left) - 1, min(wanted, len(left))).round().astype(int)
    chosen = [left[place] for place in dict.fromkeys(places.tolist())]
    return [chosen[i] for i in np.random.default_rng(len(latencies)).permutation(len(chosen))]


def _check_names(workloads: Sequence[Workload]) -> None:
    if not workloads:
        raise InvalidArgumentError("there are no workloads to collect for")
    names = [workload.name for workload in workloads]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidArgumentError(f"workloads are named more than once: {', '.join(twice)}")
