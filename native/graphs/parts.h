// Which axes a loop runs over: one part for each axis it covers (a fused loop covers several).
#pragma once

#include <cstdint>
#include <vector>

#include "graphs/span.h"

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
  // Parts whose product is the extent (any, if negative): the outermost part absorbs the difference. None for 0.
  PartRange fit(PartRange range, std::int64_t extent);

 private:
  std::vector<Part> parts_;
};

}  // namespace tvm_gnn_cost
