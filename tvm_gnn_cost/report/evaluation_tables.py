"""Tables of evaluations, laid out as their experiments say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from tvm_gnn_cost.evaluation.experiments import EXPERIMENTS

if TYPE_CHECKING:
    from tvm_gnn_cost.evaluation.experiments import Experiment
    from tvm_gnn_cost.evaluation.head_to_head import HeadToHead
    from tvm_gnn_cost.evaluation.statistics import Statistic
    from tvm_gnn_cost.evaluation.summary import Summary


def experiment_tables(summary: Summary) -> list[Table]:
    """A table for each experiment that has statistics; then the replays of each method against the baseline's.

    Where pools of several schedulers are tested, one of each kind for each of them.
    """
    tables = []
    for experiment in EXPERIMENTS.values():
        statistics = summary.of(experiment.name)
        for scheduler in dict.fromkeys(statistic.scheduler for statistic in statistics):
            own = [statistic for statistic in statistics if statistic.scheduler == scheduler]
            title = _of_scheduler(experiment.title, scheduler)
            if experiment.settings_are_columns:
                tables.append(_settings_table(experiment, title, own))
            else:
                tables.append(_metrics_table(experiment, title, own, summary.baseline))
    for scheduler in dict.fromkeys(one.scheduler for one in summary.head_to_heads):
        duels = [one for one in summary.head_to_heads if one.scheduler == scheduler]
        tables.append(_head_to_head_table(summary.baseline, scheduler, duels))
    return tables


def _of_scheduler(title: str, scheduler: str) -> str:
    return f"{title} ({scheduler})" if scheduler else title


def _metrics_table(experiment: Experiment, title: str, statistics: list[Statistic], baseline: str) -> Table:
    """A row for each setting and method, a column for each metric."""
    metrics = list(dict.fromkeys(statistic.metric for statistic in statistics))
    table = Table(title=title, title_justify="left")
    table.add_column("setting")
    table.add_column("model", no_wrap=True)
    for metric in metrics:
        table.add_column(experiment.metrics[metric].heading.format(baseline=baseline), justify="right")
    table.add_column("pools", justify="right")
    by_row: dict[tuple[str, str], dict[str, Statistic]] = {}
    for statistic in statistics:
        by_row.setdefault((statistic.setting, statistic.method), {})[statistic.metric] = statistic
    settings = list(dict.fromkeys(statistic.setting for statistic in statistics))
    shown = ""
    for (setting, method), found in sorted(by_row.items(), key=lambda item: settings.index(item[0][0])):
        if setting != shown and shown:
            table.add_section()
        pools = max(statistic.pools for statistic in found.values())
        cells = [_format(experiment, found[metric]) if metric in found else "" for metric in metrics]
        table.add_row("" if setting == shown else setting, method, *cells, str(pools))
        shown = setting
    return table


def _settings_table(experiment: Experiment, title: str, statistics: list[Statistic]) -> Table:
    """A row for each method, a column for each setting; in brackets, how many pools tell, where not all do."""
    settings = list(dict.fromkeys(statistic.setting for statistic in statistics))
    table = Table(title=title, title_justify="left")
    table.add_column("model", no_wrap=True)
    for setting in settings:
        table.add_column(setting, justify="right")
    table.add_column("pools", justify="right")
    for method in dict.fromkeys(statistic.method for statistic in statistics):
        found = {statistic.setting: statistic for statistic in statistics if statistic.method == method}
        most = max(statistic.pools for statistic in found.values())
        cells = []
        for setting in settings:
            text = _format(experiment, found[setting]) if setting in found else ""
            # Of few trials every pool tells something, of many only the large ones.
            cells.append(f"{text} ({found[setting].pools})" if text and found[setting].pools < most else text)
        table.add_row(method, *cells, str(most))
    return table


def _head_to_head_table(baseline: str, scheduler: str, duels: list[HeadToHead]) -> Table:
    title = _of_scheduler(f"replay against {baseline}, pool by pool", scheduler)
    table = Table("goal", "model", title=title, title_justify="left")
    for heading in ("trials ratio", "pools won", "even", "lost"):
        table.add_column(heading, justify="right")
    goal = 0.0
    for one in duels:
        if one.goal != goal and goal:
            table.add_section()
        counts = (str(count) for count in (one.wins, one.ties, one.losses))
        low, high = one.ratio_range
        ratio = f"{one.ratio:.2f}" + (rf" \[{low:.2f}, {high:.2f}]" if low < high else "")
        table.add_row("" if one.goal == goal else f"{one.goal:.0%}", one.method, ratio, *counts)
        goal = one.goal
    return table


def _format(experiment: Experiment, statistic: Statistic) -> str:
    """The median, and the range over seeds where there is one."""
    digits = experiment.metrics[statistic.metric].digits
    text = f"{statistic.median:.{digits}f}"
    if statistic.low < statistic.high:
        text += rf" \[{statistic.low:.{digits}f}, {statistic.high:.{digits}f}]"
    return text
