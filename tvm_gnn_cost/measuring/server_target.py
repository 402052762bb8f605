"""The target of an RPC server, asked of the server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tvm_gnn_cost.errors import MeasurementError
from tvm_gnn_cost.measuring.fitness import describe_cpu
from tvm_gnn_cost.measuring.program import Server
from tvm_gnn_cost.measuring.tracker_client import find_servers, request_within
from tvm_gnn_cost.measuring.workers import Worker
from tvm_gnn_cost.records.tracker import Tracker

_LIMIT_S = 10.0


def server_target(tracker: Tracker) -> str:
    """Such as "llvm -mtriple=aarch64-linux-gnu -mcpu=cortex-a76", of a free server; "" where none can tell.

    Raises MeasurementError where the tracker does not answer or has no server with the key.
    """
    find_servers(tracker)
    with tempfile.TemporaryDirectory(prefix="tvm-gnn-cost-") as folder, _ended(Worker(Path(folder))) as worker:
        try:
            worker.start()
            server = request_within(tracker, _LIMIT_S)
            triple, cpu = ("", "") if server is None else worker.call(_ask, (server,), 2 * _LIMIT_S)
        except (MeasurementError, TimeoutError, ChildProcessError):
            return ""
    return f"llvm -mtriple={triple}{f' -mcpu={cpu}' if cpu else ''}" if triple else ""


def _ask(server: Server) -> tuple[str, str]:
    from tvm import rpc

    return describe_cpu(rpc.connect(server.host, server.port, server.match_key, session_timeout=_LIMIT_S))


@contextmanager
def _ended(worker: Worker) -> Iterator[Worker]:
    try:
        yield worker
    finally:
        worker.end()
