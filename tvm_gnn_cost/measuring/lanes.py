"""One lane: a thread with a worker process, which measures on one RPC server after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tvm_gnn_cost.errors import MeasurementError
from tvm_gnn_cost.measuring.jobs import Job, Jobs, ServerNotes
from tvm_gnn_cost.measuring.losses import Loss, find_loss
from tvm_gnn_cost.measuring.program import RUN_TIMEOUT, SESSION_LOST, Server, run_on_server
from tvm_gnn_cost.measuring.tracker_client import request_server
from tvm_gnn_cost.measuring.workers import Worker
from tvm_gnn_cost.records.tracker import Tracker
from tvm_gnn_cost.records.tuning_run import MeasureOptions

SLACK_S = 10.0
"""A server that has not answered so many seconds after a session's time hangs."""
_PUNCTUAL_S = 2.0
"""A session that was ended so much after its time was not late by the program's fault."""
_PAUSE_S = 1.0
_LEFT_OUT_PAUSE_S = 5.0


class Lane(threading.Thread):
    """Works on jobs until told to end, or until a server hangs: then it stays with that one.

    That is because TVM's Python server dies where its client leaves while it runs something, and may come back.

    Args:
        tracker, options: where and how.
        check: called with the session of a server that is new.
        jobs, notes: shared by all lanes.
        worker: the process that holds the sessions.
        ending: set to end it; a session under way is waited for.

    Attributes:
        in_session: whether a server is at work, and not late.
        is_stuck: whether its server hangs.
    """

    def __init__(
        self,
        tracker: Tracker,
        options: MeasureOptions,
        check: Callable[[Any], None],
        jobs: Jobs,
        notes: ServerNotes,
        worker: Worker,
        ending: threading.Event,
    ) -> None:
        super().__init__(name="tvm-gnn-cost-lane", daemon=True)
        self.in_session = False
        self.is_stuck = False
        self._tracker, self._options, self._check = tracker, options, check
        self._jobs, self._notes = jobs, notes
        self._worker, self._ending = worker, ending

    def run(self) -> None:
        try:
            while not self._ending.is_set() and not self.is_stuck:
                job = self._jobs.take(_PAUSE_S)
                if job is not None:
                    self._work(job)
        finally:
            self._worker.end()

    def _work(self, job: Job) -> None:
        try:
            self._worker.start()  # before a server is asked for, which waits for us only seconds
        except ChildProcessError:
            self._jobs.give_back(job)
            self._ending.wait(_PAUSE_S)
            return
        server = self._find_server(job)
        if server is None:
            self._jobs.give_back(job)
        elif self._notes.is_left_out(server.address):  # nobody opens its session, so it offers itself again
            self._jobs.give_back(job)
            self._ending.wait(_LEFT_OUT_PAUSE_S)
        elif self._jobs.begin(job):
            self.in_session = True
            try:
                self._measure(job, server)
            finally:
                self.in_session = False

    def _find_server(self, job: Job) -> Server | None:
        def is_over() -> bool:
            return self._ending.is_set() or job.future.done()

        while not is_over():
            try:
                return request_server(self._tracker, is_over)
            except (OSError, ValueError):  # the tracker; the supervisor says so if it stays away
                self._ending.wait(_PAUSE_S)
        return None

    def _measure(self, job: Job, server: Server) -> None:
        limit = self._options.run_timeout_s
        check = None if self._notes.fits(server.address) else self._check
        try:
            self._worker.send(run_on_server, (job.program, self._options, server, check))
            reading = self._worker.receive(limit + SLACK_S)
        except TimeoutError:
            self.in_session, self.is_stuck = False, True
            self._lose(job, server, Loss.SILENT)
            self._wait_for_answer()
        except MeasurementError as error:
            self._notes.leave_out(server.address, str(error))
            self._jobs.give_back(job)
        except ChildProcessError as error:
            self._lose(job, server, find_loss(self._tracker, server), str(error))
        else:
            if reading.error_no == SESSION_LOST:
                self._lose(job, server, find_loss(self._tracker, server), reading.message)
            elif reading.error_no == RUN_TIMEOUT:
                self._notes.answered(server.address)
                punctual = reading.seconds <= limit + _PUNCTUAL_S
                self._jobs.give_back(job, Loss.LATE if punctual else Loss.SILENT, reading.message)
            else:
                self._notes.answered(server.address)
                self._jobs.finish(job, reading)

    def _lose(self, job: Job, server: Server, loss: Loss, message: str = "") -> None:
        self._notes.lost(server.address, loss)
        self._jobs.give_back(job, loss, message)

    def _wait_for_answer(self) -> None:
        while not self._ending.is_set():
            try:
                self._worker.receive(_PAUSE_S)
            except TimeoutError:
                continue
            except Exception:
                return
            return
