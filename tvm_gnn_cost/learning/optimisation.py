"""How the parameters of a network change with every step, and which of them are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tvm_gnn_cost.learning.archive import Tensors

_AVERAGING = 0.998
"""Of the moving average of the weights; early on it is less, so that the average spans the last tenth of the steps."""

_WARM_UP_STEPS = 10
_MAX_GRADIENT_NORM = 1.0


Weights = tuple[Tensor, ...] | list[Tensor]


class Optimisation:
    """AdamW on a network's parameters, which averages the weights on the way and remembers those that did best.

    What is judged and kept is the moving average: on workloads and operators never seen it ranks better than the last
    weights, as several networks do (docs/experiments.md).

    Args:
        network: its parameters change in place.
        learning_rate: the peak rate.
        weight_decay: decoupled.

    Attributes:
        best_loss: the least that `consider` was given; inf before.
        checks_since_best: calls of `consider` since then.
    """

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float) -> None:
        self.network = network
        self.learning_rate = learning_rate
        self.best_loss = math.inf
        self.checks_since_best = 0
        self._parameters = list(network.parameters())
        self._optimiser = torch.optim.AdamW(self._parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
        self._averaged = AveragedModel(network, multi_avg_fn=_average)
        self._averaged.n_averaged.fill_(1)  # of the average the weights before the first step are a part
        self._best = self._weights()

    def step(self, loss: Tensor, rate: float, together: Callable[[list[nn.Parameter]], None] | None = None) -> float:
        """One step down the gradient of `loss`, at this share of the peak learning rate.

        `together` is called with the parameters when they have their gradients, and may change these.

        Returns the loss; nan where it or its gradient is not finite, and then nothing has changed.
        """
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if together is not None:
            together(self._parameters)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, _MAX_GRADIENT_NORM)
        value = float(loss.detach())
        if not (math.isfinite(value) and bool(torch.isfinite(norm))):
            return math.nan
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate * rate
        self._optimiser.step()
        self._averaged.update_parameters(self.network)
        return value

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the network has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def consider(self, loss: float) -> bool:
        """Remembers the averaged weights if `loss`, theirs, is less than any before; returns whether it is."""
        if loss < self.best_loss:
            with self.averaged():
                self._best = self._weights()
            self.best_loss, self.checks_since_best = loss, 0
            return True
        self.checks_since_best += 1
        return False

    def finish(self) -> None:
        """Gives the network its best weights, or the averaged ones where none were considered."""
        if math.isfinite(self.best_loss):
            self.restore_best()
        else:
            self._swap()

    def restore_best(self) -> None:
        """Gives the network its best weights; those it began with where none were considered."""
        self.network.load_state_dict(self._best)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """All that the next step depends on besides the network's present weights: arrays, and JSON values."""
        tensors = {f"best.{name}": value.cpu().numpy() for name, value in self._best.items()}
        tensors |= {f"average.{number}": value.cpu().numpy() for number, value in enumerate(self._average)}
        for number, moments in self._optimiser.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"moments.{number}.{name}"] = value.cpu().numpy().reshape(-1)
        best_loss = self.best_loss if math.isfinite(self.best_loss) else None
        steps = int(self._averaged.n_averaged) - 1
        return tensors, {"best_loss": best_loss, "checks_since_best": self.checks_since_best, "steps": steps}

    def restore(self, tensors: Tensors, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave. Raises KeyError, TypeError, ValueError or RuntimeError if it does not fit."""
        self._best = {
            name: torch.from_numpy(tensors[f"best.{name}"].copy()).to(value.device).reshape(value.shape)
            for name, value in self._best.items()
        }
        for place, average in enumerate(self._average):
            average.copy_(torch.from_numpy(tensors[f"average.{place}"].copy()).reshape(average.shape))
        self._averaged.n_averaged.fill_(int(state["steps"]) + 1)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, values in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "moments":
                number, _, what = rest.partition(".")
                shape = () if what == "step" else self._parameters[int(number)].shape
                moments.setdefault(int(number), {})[what] = torch.from_numpy(values.copy()).reshape(shape)
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self.best_loss = math.inf if state["best_loss"] is None else float(state["best_loss"])
        self.checks_since_best = int(state["checks_since_best"])

    @property
    def _average(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self._averaged.module.parameters()]

    def _swap(self) -> None:
        with torch.no_grad():
            for parameter, average in zip(self._parameters, self._average, strict=True):
                values = parameter.detach().clone()
                parameter.copy_(average)
                average.copy_(values)

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}


def _average(average: Weights, present: Weights, steps: Tensor | int) -> None:
    """Moves the averaged weights towards the present ones, after so many steps."""
    decay = min(_AVERAGING, int(steps) / (int(steps) + 9))
    get_ema_multi_avg_fn(decay)(average, present, steps)  # type: ignore[no-untyped-call]


def learning_rate_share(step: int, progress: float) -> float:
    """Share of the peak learning rate: linear warm-up over the first steps, then a cosine down to a tenth.

    Args:
        step: steps made so far.
        progress: share of the training that is done.
    """
    cosine = 0.55 + 0.45 * math.cos(math.pi * min(progress, 1.0))
    return min((step + 1) / _WARM_UP_STEPS, 1.0) * cosine
