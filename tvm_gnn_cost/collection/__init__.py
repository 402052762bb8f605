"""Collecting pools of measured schedules, the training data of cost models: what `tvm-gnn-cost collect` runs."""

from __future__ import annotations

from tvm_gnn_cost.collection.loop import collect_pools
from tvm_gnn_cost.collection.options import CollectOptions, CollectResult, Mix, PoolResult, Workload

__all__ = ["CollectOptions", "CollectResult", "Mix", "PoolResult", "Workload", "collect_pools"]
