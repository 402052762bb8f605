// Features of how a schedule runs its stages: the C++ counterpart of tvm_gnn_cost/graphs/dynamic_features.py.
// Operations on floating-point numbers stand in the same order, so that the results are the same.
#pragma once

#include <cstddef>
#include <vector>

#include "graphs/node_features.h"

namespace tvm_gnn_cost {

// The dynamic features of one schedule.
class DynamicFeatures {
 public:
  explicit DynamicFeatures(const Hardware& hardware) : stage_(hardware) {}

  // Writes the dynamic columns of every node and edge; the strides are those from row to row. Rows of what does not run
  // are left as they are: zero.
  void write(LoopNest& nest, KernelMemory& kernels, float* nodes, std::size_t node_stride, float* edges,
             std::size_t edge_stride);

 private:
  void write_shares(const Computation& computation, float* nodes, std::size_t node_stride) const;

  NodeFeatures stage_;
  std::vector<EdgeSums> sums_;
  // By stage.
  std::vector<double> iterations_, work_, moved_;
};

}  // namespace tvm_gnn_cost
