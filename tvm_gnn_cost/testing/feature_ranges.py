"""Whether features are what their schema says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.schema import EDGE_FEATURES, NODE_FEATURES


def out_of_range(built: BuiltGraphs) -> Iterator[str]:
    """A text for each feature that is not finite, or not in its range."""
    for name, values, features in (
        ("node", built.graphs.node_features, NODE_FEATURES),
        ("edge", built.graphs.edge_features, EDGE_FEATURES),
    ):
        low, high = np.array([(f.low, f.high) for f in features], dtype=np.float32).T
        wrong = ~((values >= low) & (values <= high) & np.isfinite(values))
        for column in np.flatnonzero(wrong.any(axis=0)):
            yield f"{name} feature {features[column].name} is {values[wrong[:, column], column][0]}"
