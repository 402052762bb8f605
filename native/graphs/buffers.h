// The memory of a GPU kernel: the counterpart of tvm_gnn_cost/graphs/buffers.py.
#pragma once

#include <cstdint>
#include <vector>

#include "graphs/loop_nest.h"

namespace tvm_gnn_cost {

// Elements of the buffer that one run of stage i fills, of each output.
double buffer_elements(LoopNest& nest, std::int32_t i);
// Bytes of the buffer that one run of stage i fills (`buffers.buffer_bytes`).
double buffer_bytes(LoopNest& nest, std::int32_t i);

struct KernelBytes {
  double shared;
  double local;
};

// Shared bytes of a block, and local bytes of a thread, of the kernels of one schedule (`buffers.kernel_memory`).
class KernelMemory {
 public:
  void start(LoopNest& nest);
  // Of the kernel that stage i belongs to.
  KernelBytes of(std::size_t i);

 private:
  KernelBytes compute(std::int32_t root) const;

  LoopNest* nest_ = nullptr;
  std::vector<KernelBytes> bytes_;  // by root; negative: not yet known
};

}  // namespace tvm_gnn_cost
