"""Which task of a log with several a command line means."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_gnn_cost.errors import RecordError

_LISTED = 20  # tasks named in an error


def choose_task(path: str, tasks: Sequence[tuple[str, int]], wanted: str | None) -> int:
    """The place of the wanted task, or of the only one.

    Args:
        path: of the log.
        tasks: the name of each, and the line of its fastest record.
        wanted: a number from 1, a name or a part of one; None: there is one task.

    Raises RecordError where it is none of them, or several.
    """
    places = range(len(tasks))
    if wanted is None:
        found = list(places)
    elif wanted.isdecimal():
        found = [int(wanted) - 1] if 1 <= int(wanted) <= len(tasks) else []
    else:
        found = [i for i in places if tasks[i][0] == wanted]
        found = found or [i for i in places if wanted.lower() in tasks[i][0].lower()]
    if len(found) == 1:
        return found[0]
    listed = [f"{i + 1}: {tasks[i][0]} (line {tasks[i][1]})" for i in found or places]
    more = f", and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    what = f"holds {len(tasks)} tasks" if wanted is None else f"has {len(found) or 'no'} tasks for --task {wanted!r}"
    raise RecordError(
        f"{path} {what}: choose with --line, or with --task and a number or a part of a name; the tasks, with the "
        f"lines of their fastest records: {', '.join(listed[:_LISTED])}{more}"
    )
