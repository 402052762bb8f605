#include "ansor/replay.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "graphs/arithmetic.h"

namespace tvm_gnn_cost {

namespace {

constexpr std::size_t kMostLoops = 1 << 13;
constexpr double kLargestExtent = 9007199254740992.0;  // 2^53: larger numbers are not exact

}  // namespace

const std::vector<PartRange>& Replay::run(Span<double> axis_extents, const Schedule& schedule,
                                          Span<std::uint32_t> steps, PartPool& pool) {
  loops_.clear();
  for (std::size_t axis = 0; axis < axis_extents.size(); ++axis) {
    if (!(std::abs(axis_extents[axis]) <= kLargestExtent)) throw ScheduleError("extent of an axis out of bounds");
    const std::uint32_t begin = pool.size();
    const auto extent = static_cast<std::int64_t>(axis_extents[axis]);  // of no value counts as one
    pool.push({static_cast<std::uint32_t>(axis), std::max<std::int64_t>(1, extent), 1});
    loops_.push_back({begin, pool.size()});
  }
  for (const std::uint32_t t : steps) {
    const Step& step = schedule.steps[t];
    const Span<std::int64_t> values = schedule.values(step);
    if (step.kind == StepKind::kSplit) {
      split(step, values, pool);
    } else if (step.kind == StepKind::kFuse) {
      fuse(values, pool);
    } else {
      reorder(values);
    }
    if (loops_.size() > kMostLoops) throw ScheduleError("the steps make too many loops");
  }
  return loops_;
}

void Replay::split(const Step& step, Span<std::int64_t> values, PartPool& pool) {
  if (step.index < 0 || static_cast<std::size_t>(step.index) >= loops_.size()) {
    throw ScheduleError("a step splits loop " + std::to_string(step.index) + " of " + std::to_string(loops_.size()));
  }
  PartRange rest = loops_[step.index];
  const auto pieces = loops_.insert(loops_.begin() + step.index, values.size(), PartRange{});
  if (step.inner_to_outer) {
    for (std::size_t k = values.size(); k > 0; --k) pool.split(rest, values[k - 1], rest, pieces[k]);
    pieces[0] = rest;
  } else {
    for (std::size_t k = 0; k < values.size(); ++k) {
      const std::int64_t inside = ceil_divide(pool.product(rest), std::max<std::int64_t>(1, values[k]));
      pool.split(rest, inside, pieces[k], rest);
    }
    pieces[values.size()] = rest;
  }
}

void Replay::fuse(Span<std::int64_t> values, PartPool& pool) {
  if (values.empty()) {  // TVM fuses nothing to give a scalar stage a loop of extent 1
    loops_.push_back({pool.size(), pool.size()});
    return;
  }
  const std::int64_t first = values[0], last = values[values.size() - 1];
  if (first < 0 || last < first || last >= static_cast<std::int64_t>(loops_.size())) {
    throw ScheduleError("a step fuses loops " + std::to_string(first) + " to " + std::to_string(last) + " of " +
                        std::to_string(loops_.size()));
  }
  loops_[first] = pool.join({loops_.data() + first, static_cast<std::size_t>(last - first + 1)});
  loops_.erase(loops_.begin() + first + 1, loops_.begin() + last + 1);
}

void Replay::reorder(Span<std::int64_t> values) {
  if (values.size() != loops_.size()) {
    throw ScheduleError("a step reorders " + std::to_string(values.size()) + " loops of " +
                        std::to_string(loops_.size()));
  }
  scratch_ = loops_;
  for (std::size_t k = 0; k < values.size(); ++k) {
    if (values[k] < 0 || values[k] >= static_cast<std::int64_t>(loops_.size())) {
      throw ScheduleError("a step reorders loop " + std::to_string(values[k]) + " of " + std::to_string(loops_.size()));
    }
    loops_[k] = scratch_[values[k]];
  }
}

}  // namespace tvm_gnn_cost
