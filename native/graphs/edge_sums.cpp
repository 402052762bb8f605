#include "graphs/edge_sums.h"

#include <algorithm>

#include "graphs/arithmetic.h"

namespace tvm_gnn_cost {

namespace {

bool is_largest(int column) {
  return column == edge::edge_attached || column == edge::edge_tile_bytes || column == edge::edge_flow ||
         column == edge::edge_lane_stride || column == edge::edge_contiguous || column == edge::edge_invariant ||
         column == edge::edge_vector_stride || column == edge::edge_thread_stride;
}

bool is_plain(int column) {
  return column == edge::edge_attached || column == edge::edge_contiguous || column == edge::edge_invariant;
}

}  // namespace

void EdgeSums::add(const EdgeSums& access) {
  is_used = true;
  distinct = distinct + access.distinct;
  for (int g = 0; g < kNumGroups; ++g) group_distinct[g] = group_distinct[g] + access.group_distinct[g];
  for (int column = 0; column < edge::kCount; ++column) {
    double& sum = values[column];
    sum = is_largest(column) ? std::max(sum, access.values[column]) : sum + access.values[column];
  }
}

void EdgeSums::finish(Row row) {
  values[edge::edge_reuse] = ratio(values[edge::edge_loads], distinct);
  for (int g = 0; g < kNumGroups; ++g) {
    double& reuse = values[edge::edge_group_reuse[g]];
    reuse = ratio(reuse, group_distinct[g]);
  }
  for (int column = 0; column < edge::kCount; ++column) {
    row.set(column, is_plain(column) ? values[column] : log2p(values[column]));
  }
}

}  // namespace tvm_gnn_cost
