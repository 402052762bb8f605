// From loop nests to graphs: one thread's part of a batch.
#pragma once

#include <array>
#include <cstddef>

#include "graphs/batch.h"
#include "graphs/buffers.h"
#include "graphs/features.h"
#include "graphs/gpu_demand.h"
#include "graphs/hardware.h"
#include "graphs/loop_nest.h"

namespace tvm_gnn_cost {

class GraphWriter {
 public:
  // At most `num_graphs` graphs are expected. The hardware and `out` must outlive the writer.
  GraphWriter(const Hardware& hardware, std::size_t num_graphs, GraphChunk& out)
      : hardware_features_(hardware.features), num_graphs_(num_graphs), out_(out), features_(hardware) {}

  // Appends the graph of a nest that is complete; leaves the chunk as it was if that fails. The chunk refers to the
  // nest's computation from then on. Raises ScheduleError for a schedule that makes no sense.
  void append(LoopNest& nest);

 private:
  void write(LoopNest& nest, float* nodes, float* edges, double* demand);

  const std::array<float, kHardwareFeatures>& hardware_features_;
  const std::size_t num_graphs_;
  GraphChunk& out_;
  KernelMemory kernels_;
  DynamicFeatures features_;
  GpuDemand gpu_demand_;
};

}  // namespace tvm_gnn_cost
