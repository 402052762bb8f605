// The loops of a schedule's stages, by replaying its steps: the C++ counterpart of
// tvm_gnn_cost/ansor/states/derivation.py.
#pragma once

#include <cstdint>
#include <vector>

#include "ansor/replay.h"
#include "ansor/schedule.h"
#include "ansor/stage_steps.h"
#include "graphs/computation.h"
#include "graphs/loop_nest.h"

namespace tvm_gnn_cost {

// One object serves many schedules in turn and keeps its memory.
class Derivation {
 public:
  // Fills the nest, which goes on using the computation and the schedule; `steps` are those of the schedule, sorted.
  // Raises ScheduleError for a schedule that makes no sense.
  void run(const Computation& computation, const Schedule& schedule, const StageSteps& steps, LoopNest& nest);

 private:
  void make_loops(Span<Loop> loops, const std::vector<PartRange>& parts, PartPool& pool);

  Replay replay_;
  std::vector<NestLoop> loops_;  // of one stage
};

}  // namespace tvm_gnn_cost
