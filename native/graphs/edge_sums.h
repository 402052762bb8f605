// What flows through an edge: several accesses may use it.
#pragma once

#include <array>

#include "graphs/schema.h"

namespace tvm_gnn_cost {

// One row of columns.
class Row {
 public:
  explicit Row(float* data) : data_(data) {}
  void set(int column, double value) { data_[column] = static_cast<float>(value); }

 private:
  float* data_;
};

// What the accesses through one edge add up to; `distinct` and `group_distinct` count elements.
struct EdgeSums {
  bool is_used = false;
  std::array<double, edge::kCount> values{};
  double distinct = 0.0;
  std::array<double, kNumGroups> group_distinct{};

  // Amounts add up, of the rest the largest counts.
  void add(const EdgeSums& access);
  // Turns the sums into features, and writes them.
  void finish(Row row);
};

}  // namespace tvm_gnn_cost
