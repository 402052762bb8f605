// From a TIR program to its loop nest: whose loops are whose, and which parts of the axes they run over. The counterpart
// of tvm_gnn_cost/meta_schedule/tir/nests.py.
#pragma once

#include <cstdint>
#include <vector>

#include "graphs/loop_nest.h"
#include "tir/digits.h"
#include "tir/program.h"
#include "tir/stages.h"
#include "tir/types.h"

namespace tvm_gnn_cost::tir {

// One object serves one thread, and many programs in turn.
class NestReader {
 public:
  explicit NestReader(const Types& types) : types_(types) {}

  // Fills the nest, which goes on using the stages and this reader. Raises NotUnderstood, ScheduleError.
  void read(const Program& program, const Stages& stages, LoopNest& nest);

 private:
  // A part of an axis, and where it stands among the digits of its loop.
  struct Place {
    std::int64_t source, divisor;
    Part part;
  };

  void find_owners(const Program& program, const Stages& stages);
  void place(const Program& program, const Stages& stages);
  void read_values(const Program& program, const Block& block);
  void find_parts(const BlockStage& stage);
  void move(std::uint32_t axis, const Index& index, bool exact);
  void add_loops(const Program& program, const BlockStage& stage, std::uint32_t number, PartPool& pool);
  void add_loop(const BlockStage& stage, std::int64_t source, std::int64_t extent, Annotation annotation,
                PartPool& pool);

  const Types& types_;
  std::vector<std::uint32_t> owners_;   // by loop: the last block stage inside it
  std::vector<std::uint32_t> indices_;  // by loop: its number among those of its owner
  std::vector<Placement> placements_;
  std::vector<std::uint32_t> loop_ptr_;

  // Of the block at hand.
  Values values_;
  Limits limits_;
  std::vector<Index> axes_;  // its variables, over the loops
  std::vector<Place> places_;
  std::vector<std::int64_t> inexact_;  // loops
  std::vector<Place> of_loop_;
  std::vector<NestLoop> loops_;
};

}  // namespace tvm_gnn_cost::tir
