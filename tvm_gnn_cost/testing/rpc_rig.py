"""A real RPC tracker with real servers on this machine, to be killed, stopped and started again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil

from tvm_gnn_cost.errors import MeasurementError
from tvm_gnn_cost.measuring.tracker_client import list_servers
from tvm_gnn_cost.records.tracker import Tracker

KEY = "board"
_HOST = "127.0.0.1"


def wait_for(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit_s:g} s in vain")
        time.sleep(0.02)


class Server:
    """An RPC server: a process that listens, and one for each session."""

    def __init__(self, tracker_port: int) -> None:
        from tvm.rpc.server import Server as TVMServer

        self._server = TVMServer(_HOST, 29300, 29900, key=KEY, tracker_addr=(_HOST, tracker_port), silent=True)
        self._process = psutil.Process(self._server.proc._proc.pid)
        self.address = f"{_HOST}:{self._server.port}"

    def kill(self) -> None:
        """As a machine that is switched off."""
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._server.terminate()

    def stop(self) -> None:
        """As a machine that hangs."""
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                process.suspend()

    def go_on(self) -> None:
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                process.resume()

    def _tree(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return []


class Rig:
    """A tracker and its servers."""

    def __init__(self) -> None:
        from tvm.rpc.tracker import Tracker as TVMTracker

        self._running = TVMTracker(_HOST, port=29100, port_end=29290, silent=True)
        self.tracker = Tracker(KEY, _HOST, self._running.port)
        self.servers: list[Server] = []

    def start(self, count: int) -> list[Server]:
        """So many more servers, free when this returns."""
        with ThreadPoolExecutor(count) as pool:
            found = list(pool.map(lambda _: Server(self.tracker.port), range(count)))
        self.servers += found
        addresses = {server.address for server in found}
        wait_for(lambda: addresses <= self.listed())
        return found

    def keep(self, count: int) -> Rig:
        """With just so many servers, whatever a test before did to them."""
        try:
            self._settle(count)
        except TimeoutError:  # the tracker knows of some that are no more
            for server in self.servers:
                server.kill()
            self.servers = []
            self._settle(count)
        return self

    def _settle(self, count: int) -> None:
        alive = [server for server in self.servers if server.address in self.listed()]
        for server in self.servers:
            server.go_on()
        for server in set(self.servers) - set(alive[:count]):
            server.kill()
        self.servers = alive[:count]
        if len(alive) < count:
            self.start(count - len(alive))
        wait_for(lambda: len(self.listed()) == list_servers(self.tracker).free == count, 20.0)

    def server(self, address: str) -> Server:
        return next(server for server in self.servers if server.address == address)

    def listed(self) -> frozenset[str]:
        with contextlib.suppress(MeasurementError):
            return list_servers(self.tracker).addresses
        return frozenset()

    def close(self) -> None:
        for server in self.servers:
            server.kill()
        self._running.terminate()


@contextlib.contextmanager
def running_rig() -> Iterator[Rig]:
    """A tracker without servers; at the end all are killed."""
    found = Rig()
    try:
        yield found
    finally:
        found.close()
