// What the bindings of every scheduler share.
#pragma once

#include <nanobind/nanobind.h>

#include "graphs/batch.h"
#include "graphs/extraction.h"

namespace tvm_gnn_cost {

// Adds Hardware, Computation and write_nests to the module.
void bind_graphs(nanobind::module_& module);

// The arrays of a batch, which is empty afterwards: node_features, edge_index, edge_features, node_ptr, edge_ptr (those
// of a StageGraphBatch), scored_nodes, resources, doubtful (of BuiltGraphs).
nanobind::tuple to_arrays(GraphBatch batch);
// (arrays of the batch, status, unregistered, first_error), see Extraction.
nanobind::tuple to_arrays(Extraction extraction);

}  // namespace tvm_gnn_cost
