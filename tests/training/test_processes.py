"""Several processes that train one network end with that of one, up to rounding, and can be stopped and continued."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.learning.parallel import launched_processes, shares

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
sys.path[:] = {path!r}
from test_pretraining import new_training, stop_after
from tvm_gnn_cost.learning.weights import weight_tensors
from tvm_gnn_cost.learning.parallel import launched_processes
from tvm_gnn_cost.training.pretraining import PretrainOptions

folder, steps = Path({folder!r}), {steps}
with launched_processes("cpu") as processes:
    training = new_training(PretrainOptions(epochs=100), processes=processes)
    state = folder / "state"
    if state.exists():
        training.restore(state)
    else:
        training.fit_scalers()
    training.run(state, stop=stop_after(steps))
    if processes is not None:
        processes.wait()
    rank = 0 if processes is None else processes.rank
    np.savez(folder / f"weights-{{rank}}.npz", steps=training.steps_, **weight_tensors(training.trainer))
"""


def train(folder: Path, processes: int, steps: int) -> list[dict[str, np.ndarray]]:
    """The weights of each process after a run."""
    folder.mkdir(exist_ok=True)
    script = folder / "train.py"
    script.write_text(PROGRAM.format(path=[str(Path(__file__).parent), *sys.path], folder=str(folder), steps=steps))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launch if processes > 1 else []), str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [dict(np.load(folder / f"weights-{rank}.npz")) for rank in range(processes)]


def test_two_processes_end_with_the_network_of_one_and_can_be_stopped(tmp_path: Path) -> None:
    (alone,) = train(tmp_path / "one", 1, steps=30)
    first, second = train(tmp_path / "two", 2, steps=30)
    stopped = tmp_path / "stopped"
    train(stopped, 2, steps=12)
    continued, _ = train(stopped, 2, steps=18)
    for name, value in alone.items():
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], value, rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(continued[name], first[name], rtol=1e-5, atol=1e-6)
    assert alone["steps"] == first["steps"] == continued["steps"] == 30


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_parts_are_of_like_size_and_none_is_empty(size: int) -> None:
    for nodes in ([5] * 20, [1, 1, 1, 1, 50], [50, 1, 1, 1, 1], list(range(1, 30))):
        bounds = shares(np.cumsum([0, *nodes]), size)
        assert bounds[0] == 0 and bounds[-1] == len(nodes) and (np.diff(bounds) > 0).all()
        parts = [sum(nodes[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]
        assert max(parts) <= sum(nodes) / size + max(nodes) + size
    with pytest.raises(InvalidArgumentError, match="no part for each"):
        shares(np.array([0, 3]), 2)


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with launched_processes("cpu") as processes:
        assert processes is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(InvalidArgumentError, match="a GPU of its own"), launched_processes("cuda:1"):
        pass
