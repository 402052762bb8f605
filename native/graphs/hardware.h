// The part of tvm_gnn_cost/graphs/hardware.py that features depend on, and the features that it has itself.
#pragma once

#include <array>

#include "graphs/schema.h"

namespace tvm_gnn_cost {

struct Hardware {
  bool is_gpu = false;
  double cores = 1.0;
  double simd_bytes = 1.0;
  double cache_line_bytes = 1.0;
  double warp_size = 0.0;
  std::array<double, kNumCaches> cache_bytes{};
  // Of a GPU: registers of a thread; threads, blocks, registers and shared memory of a multiprocessor.
  double register_bytes = 0.0;
  double max_threads = 0.0;
  double max_blocks = 0.0;
  double register_file_bytes = 0.0;
  double shared_bytes = 0.0;
  std::array<float, kHardwareFeatures> features{};  // the columns of every node
};

}  // namespace tvm_gnn_cost
