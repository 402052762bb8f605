#include "graphs/gpu_demand.h"

#include <algorithm>
#include <limits>

#include "graphs/arithmetic.h"
#include "graphs/schema.h"

namespace tvm_gnn_cost {

namespace {

constexpr std::size_t kNumAnnotations = 12;

// Bytes of the widest element that a statement of stage i reads or writes.
std::int64_t widest(const Computation& computation, std::int32_t i) {
  std::int64_t bytes = 0;
  for (const std::int64_t written : computation.outputs(computation.stage(i))) bytes = std::max(bytes, written);
  for (const Access& access : computation.accesses_of(i)) bytes = std::max(bytes, access.element_bytes);
  return bytes;
}

struct Bytes {
  double at_least;
  double at_most;
};

// Bytes of the shared array of stage j, by the loops that fill it.
Bytes copied_bytes(const LoopNest& nest, std::int32_t j) {
  const auto& loops = nest.loops(j);
  double covered = 1.0;
  bool exact = loops.size() > 0;
  for (const NestLoop& loop : loops) {
    covered *= static_cast<double>(loop.extent);
    exact = exact && loop.exact;
  }
  if (!exact) return {0.0, std::numeric_limits<double>::infinity()};
  const auto bytes_each = static_cast<double>(nest.computation().stage(j).element_bytes);
  const auto outermost = static_cast<double>(loops.begin()->extent);
  return {(covered - ratio(covered, outermost) + 1.0) * bytes_each, covered * bytes_each};
}

// Bytes of all shared arrays of the kernel of stage `root`, at most.
double shared_inside(LoopNest& nest, std::int32_t root) {
  double total = 0.0;
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(nest.num_stages()); ++j) {
    if (!nest.computation().stage(j).is_shared || !nest.is_attached(j) || nest.root(j) != root) continue;
    total += std::min(buffer_bytes(nest, j), copied_bytes(nest, j).at_most);
  }
  return total;
}

void raise_to(double& largest, double value) { largest = std::max(largest, value); }

}  // namespace

void GpuDemand::write(LoopNest& nest, KernelMemory& kernels, double* demand) {
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
    if (nest.placement(i).compute_at == ComputeAt::kRoot) {
      raise_to(demand[resource::shared_bytes_at_most], shared_inside(nest, i));
      raise_to(demand[resource::local_bytes_at_most], kernels.of(i).local);
    }
  }
}

bool GpuDemand::is_unequal(std::int32_t root, const NestLoop& loop) {
  std::int64_t& extent = bound_[root * kNumAnnotations + static_cast<std::size_t>(loop.annotation)];
  if (extent < 0) extent = loop.extent;
  return extent != loop.extent;
}

// Bytes of the shared arrays that stage i reads, at least.
double GpuDemand::shared_by(LoopNest& nest, std::int32_t i) {
  double total = 0.0;
  for (const Access& access : nest.computation().accesses_of(i)) {
    const StageComputation& stage = nest.computation().stage(access.producer);
    if (!stage.is_shared || counted_[access.producer] == i || !nest.is_attached(access.producer)) continue;
    counted_[access.producer] = i;
    total += access.affine ? buffer_bytes(nest, access.producer) : copied_bytes(nest, access.producer).at_least;
  }
  return total;
}

}  // namespace tvm_gnn_cost
