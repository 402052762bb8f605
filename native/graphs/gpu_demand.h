// What a schedule asks of a GPU: the C++ counterpart of tvm_gnn_cost/graphs/gpu_demand.py.
#pragma once

#include <cstdint>
#include <vector>

#include "graphs/buffers.h"
#include "graphs/loop_nest.h"

namespace tvm_gnn_cost {

class GpuDemand {
 public:
  // Writes resource::kCount numbers: the largest demand of any kernel of the schedule.
  void write(LoopNest& nest, KernelMemory& kernels, double* demand);

 private:
  // Whether the loop's thread index already has another extent in the kernel.
  bool is_unequal(std::int32_t root, const NestLoop& loop);
  double shared_by(LoopNest& nest, std::int32_t i);

  std::vector<std::int64_t> bound_;    // by root and annotation: the extent; negative: none yet
  std::vector<std::int32_t> counted_;  // by stage: the last reader it was counted for
};

}  // namespace tvm_gnn_cost
