// One stage of a schedule, seen through its loop nest: the C++ counterpart of tvm_gnn_cost/graphs/node_features.py,
// which explains it. Operations on floating-point numbers stand in the same order, so that the results are the same.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "graphs/buffers.h"
#include "graphs/edge_sums.h"
#include "graphs/hardware.h"
#include "graphs/loop_nest.h"
#include "graphs/schema.h"

namespace tvm_gnn_cost {

// One stage of a schedule, seen through its nest. Makes the features of its node and of the edges it executes.
class NodeFeatures {
 public:
  explicit NodeFeatures(const Hardware& hardware) : hardware_(hardware) {}

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
  double extent_of(Annotations set) const;
  Annotations parallel() const;
  double imbalance() const;
  double auto_unroll() const;
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

}  // namespace tvm_gnn_cost
