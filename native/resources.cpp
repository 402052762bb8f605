#include "resources.h"

#include <algorithm>

#include "arithmetic.h"

namespace tvm_gnn_cost {

namespace {

constexpr std::size_t kNumAnnotations = 12;

// Bytes of the widest element that a statement of stage i reads or writes.
std::int64_t widest(const Computation& computation, std::int32_t i) {
  std::int64_t bytes = computation.stage(i).element_bytes;
  for (const Access& access : computation.accesses_of(i)) {
    bytes = std::max(bytes, computation.stage(access.producer).element_bytes);
  }
  return bytes;
}

void raise_to(double& largest, double value) { largest = std::max(largest, value); }

}  // namespace

void Resources::write(LoopNest& nest, KernelMemory& kernels, double* demand) {
  std::fill(demand, demand + resource::kCount, 0.0);
  bound_.assign(nest.num_stages() * kNumAnnotations, -1);
  counted_.assign(nest.num_stages(), -1);
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(nest.num_stages()); ++i) {
    if (!nest.computation().stage(i).runs()) continue;
    double threads = 1.0;
    const auto count = [&](const NestLoop& loop) {
      if (loop.is(kThreadAnnotations)) {
        threads *= static_cast<double>(loop.extent);
        if (is_unequal(nest.root(i), loop)) demand[resource::unequal_threads] = 1.0;
      } else if (loop.annotation == Annotation::kVThread) {
        raise_to(demand[resource::vthread], static_cast<double>(loop.extent));
      } else if (loop.annotation == Annotation::kVectorize && loop.stage == i) {
        const std::int64_t width = multiply(loop.extent, widest(nest.computation(), i));
        raise_to(demand[resource::vector_bytes_at_most], static_cast<double>(width));
      }
    };
    for (const std::uint32_t id : nest.outer(i)) count(nest.loop(id));
    for (const NestLoop& loop : nest.loops(i)) count(loop);
    raise_to(demand[resource::threads], threads);
    raise_to(demand[resource::shared_bytes_at_least], shared_by(nest, i));
    if (nest.how(i).compute_at == ComputeAt::kRoot) {
      const auto [shared, local] = kernels.of(i);
      raise_to(demand[resource::shared_bytes_at_most], shared);
      raise_to(demand[resource::local_bytes_at_most], local);
    }
  }
}

bool Resources::is_unequal(std::int32_t root, const NestLoop& loop) {
  std::int64_t& extent = bound_[root * kNumAnnotations + static_cast<std::size_t>(loop.annotation)];
  if (extent < 0) extent = loop.extent;
  return extent != loop.extent;
}

// Bytes of the shared arrays that stage i reads, as far as their size is exact.
double Resources::shared_by(LoopNest& nest, std::int32_t i) {
  double total = 0.0;
  for (const Access& access : nest.computation().accesses_of(i)) {
    const StageComputation& stage = nest.computation().stage(access.producer);
    if (!stage.is_shared || !access.affine || counted_[access.producer] == i) continue;
    if (!nest.is_attached(access.producer)) continue;
    counted_[access.producer] = i;
    auto size = static_cast<double>(stage.element_bytes);
    const Span<double> spans = nest.attached_spans(access.producer, true);
    for (std::size_t axis = 0; axis < stage.num_spatial; ++axis) size *= spans[axis];
    total += size;
  }
  return total;
}

}  // namespace tvm_gnn_cost
