"""Programs measured in parallel on all RPC servers of a key, as these come and go.

What a program does and what becomes of a server are told apart, as only the first belongs into a log:

* a server answers, with readings or with an error of the program: that is the program's result;
* it ends the session because its time is up: the program runs once more, and the second time-out counts, since the
  server may have been stopped meanwhile;
* the session ends without an answer, or none comes: the program is measured elsewhere, or when a server is back
  (`losses` says when it is the program's own fault).
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tvm_gnn_cost.errors import MeasurementError
from tvm_gnn_cost.measuring.fitness import check_server, make_check
from tvm_gnn_cost.measuring.jobs import Jobs, ServerNotes
from tvm_gnn_cost.measuring.lanes import SLACK_S, Lane
from tvm_gnn_cost.measuring.program import Program, Reading
from tvm_gnn_cost.measuring.tracker_client import find_servers, list_servers, request_within
from tvm_gnn_cost.measuring.workers import Worker
from tvm_gnn_cost.records.tracker import Tracker
from tvm_gnn_cost.records.tuning_run import MeasureOptions

if TYPE_CHECKING:
    from tvm.target import Target

logger = logging.getLogger("tvm_gnn_cost")

_LOOK_EVERY_S = 1.0
_TELL_AFTER_S = 5.0


class ServerPool:
    """The servers of a tracker; used as a context, at whose end the sessions under way are waited for.

    Args:
        tracker: where they are.
        options: how to measure; `run_timeout_s` is for a whole session: upload, linking and running.
        targets: what will be built; a server that does not fit is left out, with a warning.

    Attributes:
        num_servers: how many the tracker listed when last asked.

    Raises MeasurementError where the tracker does not answer, has no server with the key, or none that fits.
    """

    def __init__(self, tracker: Tracker, options: MeasureOptions, targets: Sequence[Target]) -> None:
        self._tracker, self._options = tracker, options
        found = find_servers(tracker)
        self.num_servers = len(found)
        self._jobs, self._notes = Jobs(), ServerNotes()
        self._lanes: list[Lane] = []
        self._ending = threading.Event()
        self._told = False
        self._folder = tempfile.TemporaryDirectory(prefix="tvm-gnn-cost-", ignore_cleanup_errors=True)
        try:
            self._check = make_check(targets, Path(self._folder.name), options.compiler)
            self._add_lane(self._check_servers(found.free))
        except BaseException:
            self._folder.cleanup()
            raise
        self._supervisor = threading.Thread(target=self._supervise, name="tvm-gnn-cost-servers", daemon=True)
        self._supervisor.start()

    def submit(self, program: Program) -> Future[Reading]:
        """The program's reading, whatever becomes of servers meanwhile.

        The future raises MeasurementError where no server answers for `server_wait_minutes`. It can be cancelled until
        it is done; a session under way is not ended by that.
        """
        return self._jobs.add(program)

    def drop_waiting(self) -> None:
        """Cancel what no server has; what one has is done, or cancelled, when its session ends."""
        self._jobs.drop_waiting()

    def close(self) -> None:
        """Take no more, wait for the sessions under way, and end all processes."""
        self._ending.set()
        self._supervisor.join()
        for lane in self._lanes:
            lane.join()
        self._folder.cleanup()

    def __enter__(self) -> ServerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_servers(self, free: int) -> Worker:
        """Look for a free server that fits; the worker that did. Where all are busy, they are checked when first used.

        Raises MeasurementError where there are free ones and none fits.
        """
        worker = Worker(Path(self._folder.name))
        reasons = []
        limit = self._options.run_timeout_s
        try:
            for _ in range(free):
                worker.start()
                server = request_within(self._tracker, _TELL_AFTER_S)
                if server is None:
                    break
                try:
                    worker.call(check_server, (server, self._check, limit), limit + SLACK_S)
                except (MeasurementError, TimeoutError, ChildProcessError) as error:
                    reasons.append(f"{server.address}: {error}")
                    continue
                self._notes.answered(server.address)
                return worker
        except BaseException:
            worker.end()
            raise
        if reasons:
            worker.end()
            raise MeasurementError(f"no server of {self._tracker} can measure; {'; '.join(dict.fromkeys(reasons))}")
        return worker

    def _supervise(self) -> None:
        while not self._ending.wait(_LOOK_EVERY_S):
            if not len(self._jobs):
                self._told = False
                continue
            problem = self._follow_servers()
            quiet_s = 0.0 if any(lane.in_session for lane in self._lanes) else self._jobs.quiet_s()
            wait_minutes = self._options.server_wait_minutes
            if quiet_s > 60 * wait_minutes:
                self._jobs.fail(
                    MeasurementError(
                        f"no RPC server of {self._tracker} answered for {wait_minutes:g} minutes: {problem}. Look at "
                        f"them with python -m tvm.exec.query_rpc_tracker --host {self._tracker.host} "
                        f"--port {self._tracker.port}, start some with python -m tvm.exec.rpc_server "
                        f"--key {self._tracker.key} --tracker {self._tracker.address}"
                    )
                )
            elif quiet_s > _TELL_AFTER_S and not self._told:
                self._told = True
                logger.warning(
                    "waiting for an RPC server of %s, for %g minutes at most: %s", self._tracker, wait_minutes, problem
                )

    def _follow_servers(self) -> str:
        """As many lanes as servers; why none may answer."""
        try:
            found = list_servers(self._tracker)
        except MeasurementError as error:
            return str(error)
        self.num_servers = len(found)
        self._lanes = [lane for lane in self._lanes if lane.is_alive()]
        at_work = sum(not lane.is_stuck for lane in self._lanes)
        for _ in range(min(max(len(found), 1), len(self._jobs)) - at_work):
            self._add_lane(Worker(Path(self._folder.name)))
        if not len(found):
            return "the tracker lists none"
        return "; ".join(self._notes.reasons()) or f"{len(found)} are listed, {found.free} of them free"

    def _add_lane(self, worker: Worker) -> None:
        lane = Lane(self._tracker, self._options, self._check, self._jobs, self._notes, worker, self._ending)
        self._lanes.append(lane)
        lane.start()
