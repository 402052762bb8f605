"""The programs that wait for an RPC server, and what is known of the servers."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from tvm_gnn_cost.measuring.losses import GUILTY, POINTS, Loss
from tvm_gnn_cost.measuring.program import RUN_TIMEOUT, RUNTIME_DEVICE, Program, Reading

logger = logging.getLogger("tvm_gnn_cost")

_LEFT_OUT_S = 60.0
"""How long a server that is of no use is left alone before it is tried again."""
_LOSSES_IN_A_ROW = 3
"""After so many, a server is of no use."""


@dataclass(eq=False)
class Job:
    """A program, its reading to be, and the points against it (`losses`).

    Attributes:
        in_session: whether a server has it.
        is_dropped: not to be tried again.
    """

    program: Program
    future: Future[Reading] = field(default_factory=Future)
    points: int = 0
    in_session: bool = False
    is_dropped: bool = False

    def cancel(self) -> None:
        if not self.future.done() and self.future.cancel():
            self.future.set_running_or_notify_cancel()  # else `concurrent.futures.wait` would wait for it


class Jobs:
    """A queue for threads. Who takes a job finishes it or gives it back."""

    def __init__(self) -> None:
        self._queue: deque[Job] = deque()
        self._open: set[Job] = set()
        self._changed = threading.Condition()
        self._sign = time.monotonic()

    def __len__(self) -> int:
        """Jobs that are not done."""
        with self._changed:
            return len(self._open)

    def add(self, program: Program) -> Future[Reading]:
        job = Job(program)
        with self._changed:
            if not self._open:
                self._sign = time.monotonic()
            self._open.add(job)
            self._queue.append(job)
            self._changed.notify()
        job.future.add_done_callback(lambda _: self._forget(job))
        return job.future

    def take(self, timeout_s: float) -> Job | None:
        """The first that nobody works on, and that was not cancelled; None where there is none for so long."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._queue) > 0, timeout_s)
            while self._queue:
                job = self._queue.popleft()
                if not job.future.done():
                    return job
        return None

    def give_back(self, job: Job, loss: Loss | None = None, message: str = "") -> None:
        """To the end of the queue; or done, a failure, where this loss makes it guilty."""
        if loss is not None:
            job.points += POINTS[loss]
            if job.points >= GUILTY:
                error_no = RUN_TIMEOUT if loss is Loss.LATE else RUNTIME_DEVICE
                self.finish(job, Reading((), error_no, f"{loss.value}\n{message}"))
                return
        with self._changed:
            job.in_session = False
            if job.is_dropped:
                job.cancel()
                return
            self._queue.append(job)
            self._changed.notify()

    def begin(self, job: Job) -> bool:
        """A server is about to get it; False where it was dropped."""
        with self._changed:
            job.in_session = not job.future.done()
            return job.in_session

    def drop_waiting(self) -> None:
        """Cancel what no server has; what one has is done when its session ends, and not tried again."""
        with self._changed:
            jobs = list(self._open)
            self._queue.clear()
            for job in jobs:
                job.is_dropped = True
                if not job.in_session:
                    job.cancel()

    def finish(self, job: Job, reading: Reading) -> None:
        self._sign = time.monotonic()
        with contextlib.suppress(InvalidStateError):  # cancelled
            job.future.set_result(reading)

    def fail(self, error: Exception) -> None:
        """Every job gets this error."""
        with self._changed:
            jobs = list(self._open)
            self._queue.clear()
        for job in jobs:
            with contextlib.suppress(InvalidStateError):
                job.future.set_exception(error)

    def quiet_s(self) -> float:
        """Seconds in which there were jobs, and none got done."""
        return time.monotonic() - self._sign

    def _forget(self, job: Job) -> None:
        with self._changed:
            self._open.discard(job)


class ServerNotes:
    """Which servers fit, and which are left out for a while. For threads."""

    def __init__(self) -> None:
        self._fit: set[str] = set()
        self._left_out: dict[str, tuple[float, str]] = {}
        self._losses: Counter[str] = Counter()

    def fits(self, address: str) -> bool:
        return address in self._fit

    def answered(self, address: str) -> None:
        self._fit.add(address)
        self._losses.pop(address, None)

    def lost(self, address: str, loss: Loss) -> None:
        """A session. What comes back at this address may be another machine."""
        self._fit.discard(address)
        logger.warning("the RPC server %s: %s; what it measured is measured again", address, loss.value)
        if loss is Loss.CRASHED:
            logger.warning("the RPC server %s no longer serves, and has to be started again", address)
        self._losses[address] += 1
        if self._losses[address] >= _LOSSES_IN_A_ROW:
            del self._losses[address]
            self.leave_out(address, f"it lost {_LOSSES_IN_A_ROW} sessions in a row")

    def leave_out(self, address: str, reason: str) -> None:
        if address not in self._left_out:
            logger.warning("the RPC server %s is left out: %s", address, reason)
        self._left_out[address] = (time.monotonic() + _LEFT_OUT_S, reason)

    def is_left_out(self, address: str) -> bool:
        return time.monotonic() < self._left_out.get(address, (0.0, ""))[0]

    def reasons(self) -> list[str]:
        """Why servers are left out."""
        return [f"{address}: {reason}" for address, (_, reason) in self._left_out.items() if self.is_left_out(address)]
