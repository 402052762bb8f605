// Which axis every loop runs over: steps replayed on axes (`derivation.replay`).
#pragma once

#include <cstdint>
#include <vector>

#include "ansor/schedule.h"
#include "graphs/parts.h"
#include "graphs/span.h"

namespace tvm_gnn_cost {

class Replay {
 public:
  // The parts of every loop after the steps (SPLIT, FUSE, REORDER of one stage) on one loop an axis. Raises
  // ScheduleError for a step that does not fit its loops.
  const std::vector<PartRange>& run(Span<double> axis_extents, const Schedule& schedule, Span<std::uint32_t> steps,
                                    PartPool& pool);

 private:
  void split(const Step& step, Span<std::int64_t> values, PartPool& pool);
  void fuse(Span<std::int64_t> values, PartPool& pool);
  void reorder(Span<std::int64_t> values);

  std::vector<PartRange> loops_, scratch_;
};

}  // namespace tvm_gnn_cost
