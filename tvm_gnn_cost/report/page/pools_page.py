"""The page of a folder of measured pools: how many records of what, how quiet the machine was, how much they spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tvm_gnn_cost.report.figures import COLOURS, figure_class
from tvm_gnn_cost.report.page.page import Page, PageTable, Section, as_svg
from tvm_gnn_cost.report.page.run_sections import facts, ms

Description = Mapping[str, Any]
"""Of one pool, see `records.description`."""

_HEAD = ("pool", "records", "failed", "best (ms)", "slowest / best", "quiet", "measured twice", "complete")


def pools_page(name: str, pools: Sequence[tuple[str, Description]]) -> Page:
    """The page of the pools of a folder.

    Args:
        name: of the folder.
        pools: the name and the description of each.

    Raises PlotsNotAvailableError without matplotlib.
    """
    of_all = [about for _, about in pools]
    records, failed = (sum(int(about.get(key) or 0) for about in of_all) for key in ("records", "failed"))
    machines = Counter(str((about.get("machine") or {}).get("cpu", "unknown")) for about in of_all)
    origins = Counter(
        origin for about in of_all for batch in about.get("batches") or () for origin in batch.get("origins") or ()
    )
    total = sum(origins.values())
    sections = [
        Section(
            "What was measured",
            table=facts(
                {
                    "pools": len(pools),
                    "records": records,
                    "of them failed": failed,
                    "complete pools": sum(bool(about.get("complete")) for about in of_all),
                    **{f"schedules that are {origin}": f"{n / total:.0%}" for origin, n in origins.most_common()},
                    **{f"pools on {cpu}": count for cpu, count in machines.most_common()},
                }
            ),
        ),
        Section(
            "How far the schedules of a pool lie apart",
            "The slowest schedule's latency over the fastest's, a dot for each pool.",
            as_svg(_spread_figure([spread for about in of_all if (spread := _spread(about)) is not None])),
        ),
        Section("Pools", table=PageTable(_HEAD, [_row(*pool) for pool in pools]), folded=f"{len(pools)} pools"),
        Section("How they were measured", _alike(of_all, "measure"), table=facts(of_all[0].get("measure") or {})),
        Section("How they were chosen", _alike(of_all, "options"), table=facts(of_all[0].get("options") or {})),
        Section(
            "Versions", _alike(of_all, "versions"), table=facts(of_all[0].get("versions") or {}), folded="versions"
        ),
    ]
    return Page(f"Pools: {name}", f"{len(pools)} pools, {records} records", sections)


def _row(name: str, about: Description) -> list[str]:
    batches = about.get("batches") or []
    spread = _spread(about)
    return [
        str(about.get("workload") or name),
        str(about.get("records", "-")),
        str(about.get("failed", "-")),
        ms(about.get("best_s")),
        "-" if spread is None else f"{spread:.1f}",
        f"{sum(bool(batch.get('quiet')) for batch in batches)} of {len(batches)} batches",
        str(len(about.get("remeasured") or ())),
        "yes" if about.get("complete") else "no",
    ]


def _spread(about: Description) -> float | None:
    best, slowest = about.get("best_s"), about.get("slowest_s")
    return slowest / best if best and slowest else None


def _spread_figure(spreads: Sequence[float]) -> Any:
    figure = figure_class()(figsize=(11, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.plot(range(1, len(spreads) + 1), sorted(spreads), ".", color=COLOURS[0])
    axis.set_yscale("log")
    axis.set_xlabel("pools, in this order")
    axis.set_ylabel("slowest / fastest")
    axis.grid(True, which="both", linewidth=0.3, alpha=0.6)
    return figure


def _alike(pools: Sequence[Description], key: str) -> str:
    """Whether the table below says it of all pools."""
    others = sum(about.get(key) != pools[0].get(key) for about in pools)
    return "" if not others else f"Of the first pool; {others} of the others differ."
