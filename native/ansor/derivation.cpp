#include "ansor/derivation.h"

namespace tvm_gnn_cost {

void Derivation::run(const Computation& computation, const Schedule& schedule, const StageSteps& steps,
                     LoopNest& nest) {
  nest.start(computation, {schedule.placements.data(), schedule.placements.size()},
             {schedule.loop_ptr.data(), schedule.loop_ptr.size()});
  PartPool& pool = nest.part_pool();
  for (std::size_t i = schedule.num_stages(); i-- > 0;) {
    if (!computation.stage(i).runs()) continue;
    const auto stage = static_cast<std::int32_t>(i);
    make_loops(schedule.loops(i), replay_.run(nest.extents_to_cover(stage), schedule, steps.of(i), pool), pool);
    nest.add_loops(stage, {loops_.data(), loops_.size()});
  }
}

// TVM's loops with the parts that the replayed steps give them.
void Derivation::make_loops(Span<Loop> loops, const std::vector<PartRange>& parts, PartPool& pool) {
  const bool known_steps = parts.size() == loops.size();  // else: loops without axes, extents from TVM
  loops_.clear();
  for (std::size_t index = 0; index < loops.size(); ++index) {
    const Loop& loop = loops[index];
    const PartRange fitted = pool.fit(known_steps ? parts[index] : PartRange{}, loop.extent);
    const bool exact = loop.extent >= 0;
    const std::int64_t extent = exact ? loop.extent : pool.product(fitted);
    loops_.push_back({0, 0, extent, loop.kind, loop.annotation, fitted, exact});  // the nest knows stage and index
  }
}

}  // namespace tvm_gnn_cost
