// Which axis every loop runs over: steps replayed on axes (`loop_nest.replay`).
#pragma once

#include <cstdint>
#include <vector>

#include "schedule.h"

namespace tvm_gnn_cost {

// A piece of an axis: `extent` values, `stride` elements of the axis apart.
struct Part {
  std::uint32_t axis;
  std::int64_t extent;
  std::int64_t stride;
};

// Parts of a PartPool, outermost first: those of a loop.
struct PartRange {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

// The parts of all loops of a schedule. A part that was handed out never changes, so ranges may share parts.
class PartPool {
 public:
  void clear() { parts_.clear(); }
  std::uint32_t size() const { return static_cast<std::uint32_t>(parts_.size()); }
  Part operator[](std::uint32_t i) const { return parts_[i]; }
  Span<Part> parts(PartRange range) const { return {parts_.data() + range.begin, range.end - range.begin}; }

  // Raises ScheduleError when there are too many.
  void push(Part part);
  // The product of the extents.
  std::int64_t product(PartRange range) const;
  // Splits off the innermost `factor` iterations.
  void split(PartRange range, std::int64_t factor, PartRange& outer, PartRange& inner);
  // The parts of the ranges, end to end.
  PartRange join(Span<PartRange> ranges);
  // Parts whose product is TVM's extent (any, if negative): the outermost part absorbs the difference.
  PartRange fit(PartRange range, std::int64_t extent);

 private:
  std::vector<Part> parts_;
};

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
