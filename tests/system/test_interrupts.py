"""Signals that end a run as Ctrl-C does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tvm_gnn_cost.system.interrupts import Interrupts

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def default_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_each_is_held_until_a_safe_point(number: signal.Signals) -> None:
    told = []
    with Interrupts(lambda: told.append(True)) as interrupts, interrupts.held():
        os.kill(os.getpid(), number)
        assert interrupts.requested and told == [True]
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()


@pytest.mark.parametrize("number", SIGNALS)
def test_each_ends_at_once_what_is_not_held(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts():
        os.kill(os.getpid(), number)


def test_what_was_there_before_is_there_again() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_under_nohup_a_closed_terminal_changes_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not interrupts.requested


def test_handlers_of_the_program_stay() -> None:
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [True] and not interrupts.requested
