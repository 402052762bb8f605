#include "graphs/buffers.h"

#include "graphs/products.h"

namespace tvm_gnn_cost {

double buffer_elements(LoopNest& nest, std::int32_t i) {
  const StageComputation& stage = nest.computation().stage(i);
  return nest.is_attached(i) ? product(first(nest.attached_spans(i, stage.is_shared), stage.num_spatial))
                             : product(first(nest.computation().axes(stage), stage.num_spatial));
}

double buffer_bytes(LoopNest& nest, std::int32_t i) {
  return buffer_elements(nest, i) * static_cast<double>(nest.computation().stage(i).element_bytes);
}

void KernelMemory::start(LoopNest& nest) {
  nest_ = &nest;
  bytes_.assign(nest.num_stages(), {-1.0, -1.0});
}

KernelBytes KernelMemory::of(std::size_t i) {
  const std::int32_t root = nest_->root(i);
  if (bytes_[root].shared < 0.0) bytes_[root] = compute(root);
  return bytes_[root];
}

KernelBytes KernelMemory::compute(std::int32_t root) const {
  KernelBytes bytes{0.0, 0.0};
  for (std::size_t j = 0; j < nest_->num_stages(); ++j) {
    if (!nest_->is_attached(j) || nest_->root(j) != root) continue;
    const double size = buffer_bytes(*nest_, static_cast<std::int32_t>(j));
    if (nest_->computation().stage(j).is_shared) {
      bytes.shared += size;
      continue;
    }
    double vthreads = 1.0;
    for (const std::uint32_t id : nest_->outer(j)) {
      const NestLoop& loop = nest_->loop(id);
      if (loop.annotation == Annotation::kVThread) vthreads *= static_cast<double>(loop.extent);
    }
    bytes.local += size * vthreads;
  }
  return bytes;
}

}  // namespace tvm_gnn_cost
