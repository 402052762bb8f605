// The graphs of loop nests that somebody else has read: what Python calls where it reads a scheduler's programs itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "graphs/batch.h"
#include "graphs/computation.h"
#include "graphs/hardware.h"
#include "graphs/span.h"

namespace tvm_gnn_cost {

// Nests end to end, as Python hands them over (tvm_gnn_cost/graphs/encoding.py): those of all stages of every nest, the
// stages in the order of its computation.
struct NestTables {
  Span<std::int64_t> stages;  // (stages, 6): compute_at, attach stage, attach loop, auto_unroll_max_step,
                              // storage_offset, number of loops
  Span<std::int64_t> loops;   // (loops, 5): extent, kind, annotation, exact, number of parts
  Span<std::int64_t> parts;   // (parts, 3): axis, extent, stride
};

// The graphs of the nests that make sense, and which these are.
struct WrittenNests {
  GraphBatch graphs;
  std::vector<std::uint8_t> done;
  std::string first_error;  // of those that make none
};

// The graphs of nests i of computations[i], on at most so many threads (0: one a core); the result does not depend on
// their number. Raises std::invalid_argument for tables that do not fit together.
WrittenNests write_nests(const Hardware& hardware, const std::vector<const Computation*>& computations,
                         const NestTables& tables, int n_threads);

}  // namespace tvm_gnn_cost
