// A TIR function as it is scheduled: its blocks in order, each with the loops around it. The counterpart of
// tvm_gnn_cost/meta_schedule/tir/program.py.
#pragma once

#include <cstdint>
#include <vector>

#include "graphs/loops.h"
#include "graphs/span.h"
#include "tir/library.h"
#include "tir/types.h"

namespace tvm_gnn_cost::tir {

// A For; its number is its place in Program::loops.
struct Loop {
  ffi::Address variable;
  std::int64_t extent;
  Annotation annotation;
  std::int32_t unroll;  // auto_unroll_max_step, 0 for none
};

// A block with the loops around it and the blocks that it is nested in, as ranges of Program.
struct Block {
  ffi::Address realize, block;
  std::uint32_t first_loop, num_loops;
  std::uint32_t first_parent, num_parents;
};

struct Program {
  std::vector<Loop> loops;
  std::vector<Block> blocks;  // in the order in which they run, without the root block
  std::vector<std::uint32_t> around;   // numbers of loops
  std::vector<ffi::Address> parents;  // realizations of blocks

  Span<std::uint32_t> loops_of(const Block& block) const {
    return {around.data() + block.first_loop, block.num_loops};
  }
  Span<ffi::Address> parents_of(const Block& block) const {
    return {parents.data() + block.first_parent, block.num_parents};
  }
};

// Reads PrimFuncs, one after the other. One object serves one thread.
class ProgramReader {
 public:
  ProgramReader(const ffi::Library& library, const Types& types) : library_(library), types_(types) {}

  // Raises NotUnderstood for a function that is no schedule of blocks with constant loops, or that has statements which
  // Python reads, or that MetaSchedule's postprocessors have not seen.
  void read(ffi::Address function, Program& program);

 private:
  void visit(ffi::Address statement, int depth);
  void visit_loop(ffi::Address loop, int depth);
  void visit_block(ffi::Address realize, int depth);
  bool has_blocks(ffi::Address statement, int depth) const;
  Annotation annotation(ffi::Address loop) const;
  std::int32_t unroll(ffi::Address loop) const;
  void check_axes(ffi::Address block) const;
  bool is_annotated(ffi::Address block, const char* key) const;
  void check_postprocessed(ffi::Address block) const;

  const ffi::Library& library_;
  const Types& types_;
  Program* program_ = nullptr;
  std::vector<std::uint32_t> loops_;    // around the statement
  std::vector<ffi::Address> parents_;  // around it
};

}  // namespace tvm_gnn_cost::tir
