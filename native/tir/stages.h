// What Python has read of the blocks of a program, as far as their loops are read by it: the counterpart of `Stages` and
// `BlockAxes` in tvm_gnn_cost/meta_schedule/tir.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "graphs/computation.h"
#include "graphs/loops.h"
#include "graphs/span.h"
#include "tir/digits.h"

namespace tvm_gnn_cost::tir {

// A block as a stage: how its variables are the axes of the stage.
struct BlockStage {
  std::uint32_t block;  // of the program's
  std::int32_t storage_offset;
  bool exact;
  std::vector<Variable> variables;
  std::vector<std::vector<Digit>> dimensions;
  std::vector<std::int64_t> extents, tiles;  // of the dimensions
  std::vector<std::uint32_t> reduces;        // variables that are reduction axes
};

struct Stages {
  explicit Stages(Computation computed) : computation(std::move(computed)) {}
  // `table` is tvm_gnn_cost/meta_schedule/native/encoding.py's. Raises std::invalid_argument if it does not fit the
  // computation.
  Stages(Computation computation, Span<std::int64_t> table);

  // The first stage that is a block.
  std::size_t first() const { return computation.num_stages() - blocks.size(); }

  Computation computation;
  std::vector<BlockStage> blocks;
};

}  // namespace tvm_gnn_cost::tir
