// Products over spans, in order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "graphs/computation.h"
#include "graphs/span.h"

namespace tvm_gnn_cost {

inline double product(Span<double> values) {
  double result = 1.0;
  for (const double value : values) result *= value;
  return result;
}

inline double product(Span<std::int64_t> values) {
  double result = 1.0;
  for (const std::int64_t value : values) result *= static_cast<double>(value);
  return result;
}

template <typename T>
Span<T> first(Span<T> values, std::size_t count) {
  return {values.begin(), count};
}

// Iterations that compute every element of a stage once.
inline double domain_size(const Computation& computation, const StageComputation& stage) {
  const Span<std::int64_t> axes = computation.axes(stage);
  return product(first(axes, stage.num_spatial)) *
         product(Span<std::int64_t>(axes.begin() + stage.num_spatial, axes.size() - stage.num_spatial));
}

}  // namespace tvm_gnn_cost
