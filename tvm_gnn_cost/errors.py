"""Every error that the package raises on purpose. They share one root, so that a caller can catch them all."""

from __future__ import annotations


class TVMGNNCostError(Exception):
    """Root of the package's errors."""


class TVMNotAvailableError(TVMGNNCostError, ImportError):
    """TVM is missing, cannot be loaded, does not fit what is installed beside it, or lacks the tuner that is needed."""


class InvalidArgumentError(TVMGNNCostError, ValueError):
    """An argument or an option is wrong: the message says which, what it was and what is allowed."""


class CheckpointError(TVMGNNCostError):
    """A checkpoint is missing, damaged, not ours, or of another schema."""


class RecordError(TVMGNNCostError):
    """A record log cannot be read at all (single bad lines are counted, not raised)."""


class BusyError(TVMGNNCostError):
    """Another process writes to the same log, pool or folder."""


class EvaluationError(TVMGNNCostError):
    """An evaluation cannot go on: its results cannot be read or written, or a worker process died."""


class MeasurementError(TVMGNNCostError):
    """Nothing can be measured: no RPC tracker, or no server of it that answers (a schedule that fails is a record)."""


class WorkloadError(TVMGNNCostError, ValueError):
    """An unknown workload, network or target, or arguments that do not fit it."""


class BuildError(TVMGNNCostError):
    """A compiled network computes something else than its untuned build, or cannot be written."""


class TuningInterrupted(TVMGNNCostError, KeyboardInterrupt):
    """Ctrl-C while TVM's search was calling the cost model.

    TVM swallows a plain KeyboardInterrupt there and goes on with scores that were never computed; this one it passes
    on, and `except KeyboardInterrupt` still catches it.
    """


def last_line(error: BaseException) -> str:
    """The last line of what an error says, the one of TVM's many that tells; its class where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
