#include "graphs/parts.h"

#include <algorithm>

#include "graphs/arithmetic.h"

namespace tvm_gnn_cost {

namespace {

constexpr std::size_t kMostParts = 1 << 20;

}  // namespace

void PartPool::push(Part part) {
  if (parts_.size() >= kMostParts) throw ScheduleError("the steps make too many loops");
  parts_.push_back(part);
}

std::int64_t PartPool::product(PartRange range) const {
  std::int64_t result = 1;
  for (const Part& part : parts(range)) result = multiply(result, part.extent);
  return result;
}

void PartPool::split(PartRange range, std::int64_t factor, PartRange& outer, PartRange& inner) {
  std::int64_t rest = std::max<std::int64_t>(1, factor);
  outer = range;
  inner = {range.end, range.end};
  while (outer.begin < outer.end && rest > 1) {
    const Part part = parts_[outer.end - 1];
    if (part.extent <= rest) {
      inner.begin = --outer.end;
      rest = ceil_divide(rest, part.extent);
      continue;
    }
    // The split goes through this part: its two pieces replace it, in copies of the parts around it.
    const std::uint32_t first = outer.begin, middle = outer.end - 1;
    outer.begin = size();
    for (std::uint32_t p = first; p < middle; ++p) push((*this)[p]);
    push({part.axis, ceil_divide(part.extent, rest), multiply(part.stride, rest)});
    outer.end = inner.begin = size();
    push({part.axis, rest, part.stride});
    for (std::uint32_t p = middle + 1; p < range.end; ++p) push((*this)[p]);
    inner.end = size();
    return;
  }
}

PartRange PartPool::join(Span<PartRange> ranges) {
  const std::uint32_t begin = size();
  for (const PartRange& range : ranges) {
    for (std::uint32_t p = range.begin; p < range.end; ++p) push((*this)[p]);
  }
  return {begin, size()};
}

PartRange PartPool::fit(PartRange range, std::int64_t extent) {
  const std::uint32_t begin = size();
  for (std::uint32_t p = range.begin; p < range.end; ++p) {
    if (parts_[p].extent > 1 && extent != 0) push((*this)[p]);
  }
  const PartRange kept{begin, size()};
  if (extent <= 0 || product(kept) == extent) return kept;
  if (kept.begin == kept.end) {
    if (range.end - range.begin != 1) return kept;
    const Part only = parts_[range.begin];
    push({only.axis, extent, only.stride});
    return {begin, size()};
  }
  const std::int64_t rest = product({begin + 1, kept.end});
  parts_[begin].extent = std::max<std::int64_t>(1, ceil_divide(extent, rest));
  return {parts_[begin].extent > 1 ? begin : begin + 1, kept.end};
}

}  // namespace tvm_gnn_cost
