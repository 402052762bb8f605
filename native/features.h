// Features of how a schedule runs its stages: the C++ counterpart of tvm_gnn_cost/stage_graph/features.py, which
// explains them. Operations on floating-point numbers stand in the same order, so that the results are the same.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "loop_nest.h"
#include "schema.h"

namespace tvm_gnn_cost {

// The part of hardware.Hardware that features depend on.
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
};

struct KernelBytes {
  double shared;
  double local;
};

// Shared bytes of a block, and local bytes of a thread, of the kernels of one schedule (`features.kernel_memory`).
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

// One row of columns.
class Row {
 public:
  explicit Row(float* data) : data_(data) {}
  void set(int column, double value) { data_[column] = static_cast<float>(value); }

 private:
  float* data_;
};

// What the accesses through one edge add up to.
struct EdgeSums {
  bool is_used = false;
  std::array<double, edge::kCount> values{};
  double distinct = 0.0;
  std::array<double, kNumGroups> group_distinct{};
};

// One stage of a schedule, seen through its nest. Makes the features of its node and of the edges it executes.
class StageView {
 public:
  explicit StageView(const Hardware& hardware) : hardware_(hardware) {}

  // Looks at stage i. What is returned is that stage's until the next call.
  void look(LoopNest& nest, KernelMemory& kernels, std::int32_t i);
  void write_node(Row row);
  void add_edges(std::vector<EdgeSums>& edges);
  double iterations() const { return iterations_; }
  // Of the body on the most loaded core.
  double iterations_per_core() const { return iterations_ * imbalance() / hardware_.cores; }
  // Bytes moved in all into and out of a cache.
  double traffic(std::size_t cache) const { return touched_[cache_levels_[cache]] * outside_[cache_levels_[cache]]; }

 private:
  // A run of loops of one kind: the level where it starts, and the product of its loops.
  struct Group {
    std::size_t level;
    double extent;
    bool reduces;
  };

  void derive_levels();
  void derive_groups();
  void derive_lane();

  void write_place(Row row) const;
  void write_parallelism(Row row) const;
  void write_vectorisation(Row row) const;
  void write_inner_loops(Row row) const;
  void write_memory(Row row) const;
  void write_lane(Row row) const;
  void write_gpu(Row row) const;

  const NestLoop& loop(std::size_t level) const { return *loops_[level]; }
  double lines(std::size_t level, std::size_t access) const { return lines_[level * (accesses().size() + 1) + access]; }
  double distinct(std::size_t level, std::size_t access) const { return distinct_[level * accesses().size() + access]; }
  Span<Access> accesses() const { return nest_->computation().accesses_of(i_); }
  double element_bytes(const Access& access) const;
  double extent_of(Annotations set) const;
  Annotations parallel() const;
  double imbalance() const;
  double auto_unroll() const;
  double allocation(std::int32_t i) const;
  Span<double> shift(std::int32_t i, const NestLoop& loop) const;
  double stride(const Access& access, Span<double> shift) const;
  double store_stride(Span<double> shift) const;

  const Hardware hardware_;
  LoopNest* nest_ = nullptr;
  KernelMemory* kernels_ = nullptr;
  std::int32_t i_ = 0;
  const StageComputation* stage_ = nullptr;

  std::vector<const NestLoop*> loops_;  // non-trivial ones around the body, those of other stages first
  std::size_t num_outer_ = 0;
  std::vector<double> outside_;  // by level: how often it runs
  double iterations_ = 1.0;
  std::vector<double> output_;   // by level: elements written
  std::vector<double> lines_;    // by level and access (the output last): bytes of whole cache lines
  std::vector<double> touched_;  // by level: their sum
  std::vector<double> distinct_;  // by level and access: elements read
  std::array<std::size_t, kNumCaches> cache_levels_{};
  std::vector<Group> groups_;  // from the inside
  const NestLoop* vector_loop_ = nullptr;
  std::vector<double> lane_strides_;
  double lane_store_ = 0.0;
};

// The dynamic features of one schedule.
class DynamicFeatures {
 public:
  explicit DynamicFeatures(const Hardware& hardware) : view_(hardware) {}

  // Writes the dynamic columns of every node and edge; the strides are those from row to row. Rows of what does not run
  // are left as they are: zero.
  void write(LoopNest& nest, KernelMemory& kernels, float* nodes, std::size_t node_stride, float* edges,
             std::size_t edge_stride);

 private:
  void write_shares(const Computation& computation, float* nodes, std::size_t node_stride) const;

  StageView view_;
  std::vector<EdgeSums> sums_;
  // By stage.
  std::vector<double> iterations_, work_, moved_;
};

}  // namespace tvm_gnn_cost
