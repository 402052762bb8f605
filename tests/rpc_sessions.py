"""The sessions with RPC servers that a run begins, seen and disturbed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tvm_gnn_cost.measuring.lanes import Lane


class Sessions:
    """The sessions that lanes begin: the address of each one's server, and what is to happen in one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[str] = []
        self._due: dict[int, Callable[[str], None]] = {}
        original = Lane._measure

        def measure(lane: Lane, job: Any, server: Any) -> None:
            self.addresses.append(server.address)
            act = self._due.pop(len(self.addresses), None)
            if act is not None:
                threading.Timer(0.2, act, (server.address,)).start()
            original(lane, job, server)

        monkeypatch.setattr(Lane, "_measure", measure)

    def at(self, number: int, act: Callable[[str], None]) -> None:
        """`act(address)` while the session of that number, from 1, is under way (it must last 0.3 s)."""
        self._due[number] = act
