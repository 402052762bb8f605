#include "graphs/features.h"

#include <algorithm>

#include "graphs/arithmetic.h"
#include "graphs/products.h"

namespace tvm_gnn_cost {

// What part of the schedule's work and traffic each stage has.
void DynamicFeatures::write_shares(const Computation& computation, float* nodes, std::size_t node_stride) const {
  double work = 0.0, moved = 0.0, largest = 0.0;
  for (std::size_t i = 0; i < work_.size(); ++i) {
    work += work_[i];
    moved += moved_[i];
    largest = std::max(largest, work_[i]);
  }
  for (std::size_t i = 0; i < work_.size(); ++i) {
    if (!computation.stage(i).runs()) continue;
    Row row(nodes + i * node_stride);
    row.set(node::work_share, divide(work_[i], work));
    row.set(node::is_heaviest, work_[i] == largest);
    row.set(node::traffic_share, ratio(moved_[i], moved));
  }
}

void DynamicFeatures::write(LoopNest& nest, KernelMemory& kernels, float* nodes, std::size_t node_stride, float* edges,
                            std::size_t edge_stride) {
  const Computation& computation = nest.computation();
  sums_.assign(computation.edges().size(), EdgeSums{});
  for (auto* values : {&iterations_, &work_, &moved_}) values->assign(computation.num_stages(), 0.0);
  for (std::size_t i = 0; i < computation.num_stages(); ++i) {
    if (!computation.stage(i).runs()) continue;
    stage_.look(nest, kernels, static_cast<std::int32_t>(i));
    stage_.write_node(Row(nodes + i * node_stride));
    stage_.add_edges(sums_);
    iterations_[i] = stage_.iterations();
    work_[i] = stage_.iterations_per_core();
    moved_[i] = stage_.traffic(kL1);
  }
  write_shares(computation, nodes, node_stride);
  for (const Evaluation& evaluation : computation.evaluations()) {
    iterations_[evaluation.stage] += evaluation.count * iterations_[evaluation.host];
  }
  for (std::size_t i = 0; i < computation.num_stages(); ++i) {
    const StageComputation& stage = computation.stage(i);
    if (!stage.is_inlined || iterations_[i] == 0.0) continue;
    Row row(nodes + i * node_stride);
    row.set(node::iterations, log2p(iterations_[i]));
    row.set(node::recomputation, log2p(ratio(iterations_[i], domain_size(computation, stage))));
  }
  for (std::size_t e = 0; e < sums_.size(); ++e) {
    if (sums_[e].is_used) sums_[e].finish(Row(edges + e * edge_stride));
  }
}

}  // namespace tvm_gnn_cost
