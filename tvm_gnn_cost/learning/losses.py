"""Named losses for scores that are known only up to one offset per task.

Every loss takes the same four tensors, all (n,), and returns a scalar >= 0:

* `score`: predicted log2 throughput in octaves, up to an offset of its task's own;
* `log_throughput`: measured log2 throughput in octaves; `-inf` marks a failed measurement;
* `log_best`: log2 throughput of the best record known of the record's task (`-inf` if there is none);
* `group`: int64 task index.

Records are compared inside their task alone; only `hybrid` has a weak absolute term (see there). A failed record is
slower than every measured one of its task, and tells nothing about other failed ones. Nothing here yields NaN: a task
with one record, with failed records only, or with equal records adds a finite loss, usually zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F

from tvm_gnn_cost.errors import InvalidArgumentError

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

_RANK_SHARPNESS = 2.0  # logits per octave: a pair that differs by 2x is ordered with certainty sigmoid(2) = 0.88
_MAX_OCTAVES = 20.0  # differences beyond a factor of a million say nothing more
_CENSOR_MARGIN = 1.0  # octaves by which a failed record should fall below the slowest measured one
_RELATIVE_ERROR_LINEAR = 1.0  # octaves beyond which the relative error grows linearly, not exponentially


def rank_loss(score: Tensor, log_throughput: Tensor, log_best: Tensor, group: Tensor) -> Tensor:
    """Pairwise logistic loss inside each task, weighted by the difference in relative throughput.

    RankNet with soft targets: the wanted probability that i beats j is sigmoid(k * (z_i - z_j)), so pairs that differ
    by less than the noise are hardly ordered and the loss is least where score differences equal the measured ones.
    The weight |y_i - y_j| of the normalised throughputs y emphasises pairs with a fast schedule; a small constant
    keeps pairs of slow schedules in play. The entropy of the targets is subtracted, so a perfect fit has loss 0.
    """
    measured = torch.isfinite(log_throughput)
    pairs = (group[:, None] == group[None, :]).triu(1) & (measured[:, None] | measured[None, :])
    first, second = pairs.nonzero(as_tuple=True)
    if not len(first):
        return _zero(score)
    relative = relative_throughput(log_throughput, log_best)
    # A failed record is set so low that every difference to a measured one is beyond doubt.
    z = torch.where(measured, log_throughput, log_throughput[measured].min() - _MAX_OCTAVES)
    target = _RANK_SHARPNESS * (_take(z, first) - _take(z, second)).clamp(-_MAX_OCTAVES, _MAX_OCTAVES)
    logit = _RANK_SHARPNESS * (_take(score, first) - _take(score, second))
    wanted = torch.sigmoid(target)
    divergence = F.binary_cross_entropy_with_logits(logit, wanted, reduction="none")
    divergence = divergence - F.binary_cross_entropy_with_logits(target, wanted, reduction="none")
    weight = (_take(relative, first) - _take(relative, second)).abs() + 0.1
    loss: Tensor = (weight * divergence).sum() / weight.sum()
    return loss


def log_loss(score: Tensor, log_throughput: Tensor, log_best: Tensor, group: Tensor) -> Tensor:
    """Huber loss of log2 throughput, each task's offset free, weighted towards fast records."""
    residual, weight = _residual(score, log_throughput, log_best, group)
    error = F.smooth_l1_loss(residual, torch.zeros_like(residual), reduction="none")
    loss: Tensor = (weight * error).sum() / _total(weight)
    return loss


def throughput_loss(score: Tensor, log_throughput: Tensor, log_best: Tensor, group: Tensor) -> Tensor:
    """Squared error of normalised throughput, weighted by it, as `XGBModel`'s objective does.

    Each task's scale is free: the one that fits best is inserted in closed form. Failed records have throughput 0. The
    weight has a floor of 0.05 so that a slow schedule that is predicted fast costs something.
    """
    relative = relative_throughput(log_throughput, log_best)
    weight = relative + 0.05
    groups = int(group.max()) + 1 if len(group) else 0
    top = score.detach().new_full((groups,), -math.inf).scatter_reduce(0, group, score.detach(), "amax")
    power = torch.exp2((score - _take(top, group)).clamp(min=-_MAX_OCTAVES))
    zeros = score.new_zeros(groups)
    scale = zeros.index_add(0, group, weight * relative * power) / zeros.index_add(0, group, weight * power**2).clamp(
        min=1e-6
    )
    return (weight * (_take(scale, group) * power - relative) ** 2).sum() / _total(weight)


def relative_error_loss(score: Tensor, log_throughput: Tensor, log_best: Tensor, group: Tensor) -> Tensor:
    """|predicted latency / latency - 1|, each task's offset free (the loss of the MAPS 2022 paper, made robust).

    Where latency is overestimated by more than an octave the error continues as a straight line: the exponential
    would let one bad schedule rule the gradient.
    """
    residual, weight = _residual(score, log_throughput, log_best, group, emphasis=0.0)
    # residual = predicted - measured log2 throughput, so predicted / measured latency = 2 ** -residual.
    over = (-residual).clamp(max=_RELATIVE_ERROR_LINEAR)
    slope = math.log(2.0) * 2.0**_RELATIVE_ERROR_LINEAR
    error = (torch.exp2(over) - 1.0).abs() + slope * (-residual - _RELATIVE_ERROR_LINEAR).clamp(min=0.0)
    loss: Tensor = (weight * error).sum() / _total(weight)
    return loss


def hybrid_loss(score: Tensor, log_throughput: Tensor, log_best: Tensor, group: Tensor) -> Tensor:
    """`rank` for the order, plus `log` for the scale, plus a weak absolute term.

    The absolute term (Huber of each task's mean residual, weight 0.02) teaches the level of whole tasks, without which
    the latency of an unseen task could not be predicted at all. It is the only place where tasks share a scale.
    """
    loss = rank_loss(score, log_throughput, log_best, group)
    loss = loss + 0.5 * log_loss(score, log_throughput, log_best, group)
    measured = torch.isfinite(log_throughput)
    residual = score - torch.where(measured, log_throughput, 0.0)
    offset, present = _group_mean(residual, measured.to(score.dtype), group)
    level = F.smooth_l1_loss(offset, torch.zeros_like(offset), reduction="none").sum() / present.sum().clamp(min=1)
    return loss + 0.02 * level


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "hybrid": hybrid_loss,
        "rank": rank_loss,
        "log": log_loss,
        "throughput": throughput_loss,
        "relative_error": relative_error_loss,
    }
)


def get_loss(name: str) -> Loss:
    """The loss of that name. Raises InvalidArgumentError for an unknown one."""
    try:
        return LOSSES[name]
    except (KeyError, TypeError):
        raise InvalidArgumentError(f"unknown loss {name!r}; known: {', '.join(LOSSES)}") from None


def relative_throughput(log_throughput: Tensor, log_best: Tensor) -> Tensor:
    """Throughput over the task's best, in [0, 1]; 0 for failed records.

    Shapes: (n,), (n,) -> (n,).
    """
    measured = torch.isfinite(log_throughput) & torch.isfinite(log_best)
    difference = torch.where(measured, log_throughput, 0.0) - torch.where(measured, log_best, 0.0)
    return torch.where(measured, torch.exp2(difference.clamp(max=0.0)), 0.0)


def _residual(
    score: Tensor, log_throughput: Tensor, log_best: Tensor, group: Tensor, emphasis: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Predicted minus measured log2 throughput after the best offset per task, and the records' weights.

    A failed record is a one-sided (censored) target: its residual counts only as far as it is predicted faster than
    `_CENSOR_MARGIN` octaves below the slowest measured record of its task in the batch.
    """
    measured = torch.isfinite(log_throughput)
    groups = int(group.max()) + 1 if len(group) else 0
    z = torch.where(measured, log_throughput, 0.0)
    weight = 0.1 + emphasis * relative_throughput(log_throughput, log_best)
    offset, present = _group_mean(score - z, weight * measured, group)
    slowest = score.new_full((groups,), math.inf).scatter_reduce(
        0, group, torch.where(measured, log_throughput, math.inf), "amin"
    )
    slowest = torch.where(present, slowest, 0.0)
    aligned = score - _take(offset, group)
    censored = (aligned - (_take(slowest, group) - _CENSOR_MARGIN)).clamp(min=0.0)
    residual = torch.where(measured, aligned - z, censored)
    # A task without a measured record in the batch has nothing to compare with.
    return residual, torch.where(_take(present, group), weight, 0.0)


def _group_mean(values: Tensor, weight: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean of each group, (groups,), 0 where the group weighs nothing; and which groups weigh something."""
    zeros = values.new_zeros(int(group.max()) + 1 if len(group) else 0)
    total = zeros.index_add(0, group, weight)
    return zeros.index_add(0, group, weight * values) / total.clamp(min=1e-12), total > 0


def _take(values: Tensor, index: Tensor) -> Tensor:
    """values[index] by `index_select`: the backward of plain indexing sums in no fixed order on several threads."""
    return values.index_select(0, index)


def _total(weight: Tensor) -> Tensor:
    return weight.sum().clamp(min=1e-12)


def _zero(score: Tensor) -> Tensor:
    """A zero that can be differentiated."""
    return (score * 0.0).sum()
