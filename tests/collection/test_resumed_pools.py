"""Pools that are gone on with: what is missing is added, what is complete is left alone, what differs is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matmul_pools import NAME, about, matmul, options, schedules

from tvm_gnn_cost import InvalidArgumentError
from tvm_gnn_cost.collection import collect_pools
from tvm_gnn_cost.collection.ansor import AnsorWing
from tvm_gnn_cost.records.noise import noise_of, remeasured_pairs


def test_resuming_adds_only_what_is_missing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = folder / f"{NAME}.json"
    before = log.read_text()
    log.write_text(before + before[:80])  # as a kill in the middle of a line leaves it
    result = collect_pools(AnsorWing(), [matmul()], folder, options(15))
    (pool,) = result.pools
    assert (pool.records, pool.added) == (15, 3)
    assert log.read_text().startswith(before)
    assert len(set(schedules(log))) == 15
    assert (folder / f"{NAME}.json.rejected").read_text() == before[:80] + "\n"
    assert "1 unreadable lines moved" in caplog.text
    assert len(about(folder)["remeasured"]) == 8  # enough before, so none again
    assert sum(len(batch["origins"]) for batch in about(folder)["batches"]) == 15


def test_a_complete_pool_is_left_alone(folder: Path) -> None:
    phases: list[str] = []
    before = (folder / f"{NAME}.json").read_bytes()
    (pool,) = collect_pools(AnsorWing(), [matmul()], folder, options(12), lambda p: phases.append(p.phase)).pools
    assert (pool.records, pool.added, phases) == (12, 0, [])
    assert (folder / f"{NAME}.json").read_bytes() == before


def test_a_complete_pool_is_not_even_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnsorWing, "open_log", lambda *_: pytest.fail("it was read"))
    before = about(folder)
    (pool,) = collect_pools(AnsorWing(), [matmul()], folder, options(12)).pools
    latencies = [min(costs) for costs in map(costs_of, (folder / f"{NAME}.json").read_text().splitlines()) if costs]
    assert (pool.records, pool.added, pool.exhausted) == (12, 0, False)
    found = (min(latencies), max(latencies))  # six digits are logged
    assert (pool.best_s, pool.slowest_s) == pytest.approx(found, rel=1e-4)
    assert pool.noise == noise_of(*remeasured_pairs(before["remeasured"]).T)
    assert about(folder) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found.pop("complete"),  # as of an earlier release
        lambda found: found.pop("best_s"),
        lambda found: found.update(complete=7),
        lambda found: found["complete"].update(lines=11),
        lambda found: found["complete"].update(lines="twelve"),
        lambda found: found.update(noise={"median": "?"}),
    ],
)
def test_a_pool_is_opened_where_its_description_does_not_fit(
    folder: Path, damage: Callable[[dict[str, Any]], Any]
) -> None:
    good = about(folder)
    found = about(folder)
    damage(found)
    (folder / "about" / f"{NAME}.json").write_text(json.dumps(found))
    (pool,) = collect_pools(AnsorWing(), [matmul()], folder, options(12)).pools
    assert (pool.records, pool.added) == (12, 0)
    again = about(folder)
    assert again["runs"][:-1] == good["runs"] and again["complete"] == good["complete"]
    assert again["batches"] == good["batches"] and again["best_s"] == pytest.approx(good["best_s"], rel=1e-4)


def test_a_pool_that_was_shortened_is_completed_again(folder: Path) -> None:
    log = folder / f"{NAME}.json"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    (pool,) = collect_pools(AnsorWing(), [matmul()], folder, options(12)).pools
    assert (pool.records, pool.added) == (12, 1)


def costs_of(line: str) -> list[float]:
    found = json.loads(line)["r"]
    return found[0] if found[1] == 0 else []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found["machine"].update(cpu="Z80"), "the CPU was 'Z80', here it is"),
        (lambda found: found["machine"].update(cores=99), "the number of cores was 99"),
        (lambda found: found["versions"].update(tvm="0.18.0"), "the version of tvm was '0.18.0', here it is '0.19"),
        (lambda found: found.update(target="llvm -mcpu=z80"), "the target was 'llvm -mcpu=z80'"),
        (lambda found: found["measure"].update(flush_cache=True), "flushing the caches was True"),
    ],
)
def test_a_pool_is_not_continued_on_something_else(
    folder: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    found = about(folder)
    change(found)
    (folder / "about" / f"{NAME}.json").write_text(json.dumps(found))
    before = (folder / f"{NAME}.json").read_bytes()
    with pytest.raises(InvalidArgumentError, match="cannot be continued") as caught:
        collect_pools(AnsorWing(), [matmul()], folder, options(15))
    assert message in str(caught.value) and "name another folder" in str(caught.value)
    assert (folder / f"{NAME}.json").read_bytes() == before


def test_a_pool_without_its_description_is_not_continued(folder: Path) -> None:
    (folder / "about" / f"{NAME}.json").unlink()
    with pytest.raises(InvalidArgumentError, match="has no description"):
        collect_pools(AnsorWing(), [matmul()], folder, options(15))
