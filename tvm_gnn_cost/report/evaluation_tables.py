"""Tables of evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from tvm_gnn_cost.evaluation.summary import Figure, Summary

_TITLES = {
    "ranking": "ranking: schedules of a task that is partly known",
    "unseen": "unseen: tasks of which no record is known",
    "replay": "replay: best so far / best of the pool, and trials to a share of the best",
    "error": "error: mean absolute percentage error of latency",
    "calibration": "calibration: predicted against measured relative throughput",
    "curve": "curve: unseen tasks, by the number of training workloads",
}
_METRICS = {
    "pairwise": "pairwise",
    "spearman": "Spearman",
    "top1": "top-1",
    "top5": "top-5",
    "error": "error (%)",
    "ceiling": "pairwise ceiling",
    "expected error": "expected error",
}


def experiment_tables(summary: Summary) -> list[Table]:
    """A table for each experiment that has figures; then the replays of each model against the baseline's."""
    tables = []
    for experiment, title in _TITLES.items():
        figures = summary.of(experiment)
        if figures:
            tables.append(_replay_table(title, figures) if experiment == "replay" else _table(title, figures, summary))
    if summary.duels:
        tables.append(_duel_table(summary))
    return tables


def _table(title: str, figures: list[Figure], summary: Summary) -> Table:
    """A row for each setting and model, a column for each metric."""
    metrics = list(dict.fromkeys(figure.metric for figure in figures))
    table = Table(title=title, title_justify="left")
    table.add_column("setting")
    table.add_column("model")
    for metric in metrics:
        named = f"times below {summary.baseline}" if metric == "improvement" else _METRICS[metric]
        table.add_column(named, justify="right")
    table.add_column("pools", justify="right")
    by_row: dict[tuple[str, str], dict[str, Figure]] = {}
    for figure in figures:
        by_row.setdefault((figure.setting, figure.model), {})[figure.metric] = figure
    settings = list(dict.fromkeys(figure.setting for figure in figures))
    shown = ""
    for (setting, model), found in sorted(by_row.items(), key=lambda item: settings.index(item[0][0])):
        if setting != shown and shown:
            table.add_section()
        pools = max(figure.pools for figure in found.values())
        cells = [_format(found[metric]) if metric in found else "" for metric in metrics]
        table.add_row("" if setting == shown else setting, model, *cells, str(pools))
        shown = setting
    return table


def _replay_table(title: str, figures: list[Figure]) -> Table:
    """A row for each model, a column for each setting; in brackets, how many pools tell, where not all do."""
    settings = list(dict.fromkeys(figure.setting for figure in figures))
    table = Table("model", title=title, title_justify="left")
    for setting in settings:
        table.add_column(setting, justify="right")
    table.add_column("pools", justify="right")
    for model in dict.fromkeys(figure.model for figure in figures):
        found = {figure.setting: figure for figure in figures if figure.model == model}
        most = max(figure.pools for figure in found.values())
        cells = []
        for setting in settings:
            text = _format(found[setting]) if setting in found else ""
            # Of few trials every pool tells something, of many only the large ones.
            cells.append(f"{text} ({found[setting].pools})" if text and found[setting].pools < most else text)
        table.add_row(model, *cells, str(most))
    return table


def _duel_table(summary: Summary) -> Table:
    table = Table("goal", "model", title=f"replay against {summary.baseline}, pool by pool", title_justify="left")
    for heading in ("trials ratio", "pools won", "even", "lost"):
        table.add_column(heading, justify="right")
    goal = 0.0
    for duel in summary.duels:
        if duel.goal != goal and goal:
            table.add_section()
        counts = (str(count) for count in (duel.wins, duel.ties, duel.losses))
        low, high = duel.ratio_range
        ratio = f"{duel.ratio:.2f}" + (rf" \[{low:.2f}, {high:.2f}]" if low < high else "")
        table.add_row("" if duel.goal == goal else f"{duel.goal:.0%}", duel.model, ratio, *counts)
        goal = duel.goal
    return table


def _format(figure: Figure) -> str:
    """The median, and the range over seeds where there is one."""
    digits = {"trials": 0, "error": 1, "improvement": 2}.get(figure.metric, 3)
    text = f"{figure.median:.{digits}f}"
    if figure.low < figure.high:
        text += rf" \[{figure.low:.{digits}f}, {figure.high:.{digits}f}]"
    return text
