"""What is asked of an RPC tracker: which servers there are, and one of them for a session.

TVM's own TrackerSession is not used: it waits without end for a server and for a minute for a tracker, and connects to
the server itself, so that nobody knows which one it was that died.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tvm_gnn_cost.errors import MeasurementError
from tvm_gnn_cost.measuring.program import Server
from tvm_gnn_cost.records.tracker import Tracker

_TIMEOUT_S = 5.0
_TICK_S = 0.2


@dataclass(frozen=True)
class Servers:
    """The servers that a tracker lists under a key.

    Attributes:
        addresses: "host:port" of each, busy ones included.
        free: how many wait for work.
        keys: of all servers of the tracker, with how many are free.
    """

    addresses: frozenset[str]
    free: int
    keys: Mapping[str, int]

    def __len__(self) -> int:
        return max(len(self.addresses), self.free)


def list_servers(tracker: Tracker) -> Servers:
    """Raises MeasurementError where the tracker does not answer."""
    from tvm.rpc import base

    try:
        with _connected(tracker) as connection:
            base.sendjson(connection, [base.TrackerCode.SUMMARY])
            code, summary = base.recvjson(connection)
        if code != base.TrackerCode.SUCCESS:
            raise ConnectionError(f"answer {code}")
        queues, servers = summary["queue_info"], summary["server_info"]
        mine = [server["addr"] for server in servers if server.get("key") == f"server:{tracker.key}"]
        # a key that was only ever asked for has a queue as well
        keys = {str(key): int(queue["free"]) for key, queue in queues.items() if queue["free"]}
        for server in servers:
            keys.setdefault(str(server.get("key", "")).removeprefix("server:"), 0)
        return Servers(frozenset(f"{host}:{port}" for host, port in mine), keys.get(tracker.key, 0), keys)
    except (OSError, ValueError, TypeError, KeyError, struct.error) as error:
        raise MeasurementError(f"the RPC tracker at {tracker.address} does not answer: {error}") from error


def find_servers(tracker: Tracker) -> Servers:
    """At least one. Raises MeasurementError, with the tracker's keys, where there is none."""
    found = list_servers(tracker)
    if not len(found):
        keys = ", ".join(f"{key} ({free} free)" for key, free in sorted(found.keys.items())) or "none"
        raise MeasurementError(
            f"the RPC tracker at {tracker.address} has no server with the key {tracker.key!r}; its keys: {keys}. Start "
            f"servers with python -m tvm.exec.rpc_server --key {tracker.key} --tracker {tracker.address}"
        )
    return found


def request_server(tracker: Tracker, is_over: Callable[[], bool]) -> Server | None:
    """A free server, as soon as there is one; None once `is_over()`. Raises OSError where the tracker is lost."""
    from tvm.rpc import base

    with _connected(tracker) as connection:
        base.sendjson(connection, [base.TrackerCode.REQUEST, tracker.key, "", 1])
        while not select.select([connection], [], [], _TICK_S)[0]:
            if is_over():
                return None
        code, answer = base.recvjson(connection)
        if code != base.TrackerCode.SUCCESS:
            raise ConnectionError(f"the RPC tracker at {tracker.address} answers {code}")
        host, port, match_key = answer
        return Server(str(host), int(port), str(match_key))


def request_within(tracker: Tracker, seconds: float) -> Server | None:
    """A free server; None where there is none for so long. Raises MeasurementError where the tracker is lost."""
    end = time.monotonic() + seconds
    try:
        return request_server(tracker, lambda: time.monotonic() > end)
    except (OSError, ValueError) as error:
        raise MeasurementError(f"the RPC tracker at {tracker.address} does not answer: {error}") from error


def accepts(address: str) -> bool:
    """Whether somebody listens there. TVM's server takes it for a broken client, and goes on."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _TIMEOUT_S).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _connected(tracker: Tracker) -> Iterator[Any]:
    from tvm.rpc import base

    with socket.create_connection((tracker.host, tracker.port), _TIMEOUT_S) as connection:
        connection.sendall(struct.pack("<i", base.RPC_TRACKER_MAGIC))
        if struct.unpack("<i", base.recvall(connection, 4))[0] != base.RPC_TRACKER_MAGIC:
            raise ConnectionError("it is no RPC tracker")
        yield connection
