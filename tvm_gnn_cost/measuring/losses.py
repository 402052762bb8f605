"""What became of a session with an RPC server that did not say what a program does, and whose fault it is."""

from __future__ import annotations

import time
from enum import Enum

from tvm_gnn_cost.errors import MeasurementError
from tvm_gnn_cost.measuring.program import Server
from tvm_gnn_cost.measuring.tracker_client import accepts, list_servers
from tvm_gnn_cost.records.tracker import Tracker


class Loss(Enum):
    """How a session was lost.

    LATE: the server ended it, its time was up. The program is too slow, or the server was stopped meanwhile.
    CRASHED: its process died, and the server lives. The program did it.
    CUT: it was cut short, and the server is listed. The program did it, or something between us.
    GONE: the server is gone. The program hardly did it.
    SILENT: no answer comes, although its time is over. The server hangs, or its machine is off.
    """

    LATE = "the session's time was up"
    CRASHED = "the process that ran it died"
    CUT = "the session was cut short"
    GONE = "the server died"
    SILENT = "the server did not answer"


POINTS = {Loss.LATE: 3, Loss.CRASHED: 6, Loss.CUT: 2, Loss.GONE: 1, Loss.SILENT: 1}
GUILTY = 6
"""A program with so many points has failed: else one that brings down whatever runs it would be tried for ever."""

_LOOKS = 2
_LOOK_AFTER_S = 1.0  # a server that is being killed, or started again, is in between for a moment


def find_loss(tracker: Tracker, server: Server) -> Loss:
    """Why a session with a server ended before its time: what the server is a moment later says it.

    In TVM's Python server, a thread listens and a process serves each session. When that process dies, the thread ends
    and the tracker is left, but the port stays open: nobody else leaves a server so.
    """
    for _ in range(_LOOKS):
        time.sleep(_LOOK_AFTER_S)
        try:
            if server.address in list_servers(tracker).addresses:
                return Loss.CUT
        except MeasurementError:
            return Loss.GONE
        if not accepts(server.address):
            return Loss.GONE
    return Loss.CRASHED
