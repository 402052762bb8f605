#include "ansor/stage_steps.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "graphs/arithmetic.h"

namespace tvm_gnn_cost {

void StageSteps::sort(const Schedule& schedule) {
  const auto inserts = static_cast<std::size_t>(std::count_if(
      schedule.steps.begin(), schedule.steps.end(), [](const Step& step) { return step.kind == StepKind::kInsert; }));
  if (inserts > schedule.num_stages()) throw ScheduleError("more stages are inserted than there are");
  order_.resize(schedule.num_stages() - inserts);
  std::iota(order_.begin(), order_.end(), 0u);
  rfactored_.assign(order_.size(), kNone);
  slot_of_.assign(schedule.steps.size(), kNone);
  for (std::size_t t = 0; t < schedule.steps.size(); ++t) {
    const Step& step = schedule.steps[t];
    if (step.stage_id < 0 || static_cast<std::size_t>(step.stage_id) >= order_.size()) {
      throw ScheduleError("step " + std::to_string(t) + " is for stage " + std::to_string(step.stage_id) +
                          ", which does not exist");
    }
    if (step.kind == StepKind::kInsert) {
      insert_stage(step);
    } else {
      slot_of_[t] = order_[step.stage_id];
    }
  }
  ptr_.assign(rfactored_.size() + 1, 0);
  for (const std::uint32_t slot : slot_of_) {
    if (slot != kNone) ++ptr_[slot + 1];
  }
  std::partial_sum(ptr_.begin(), ptr_.end(), ptr_.begin());
  next_.assign(ptr_.begin(), ptr_.end() - 1);
  steps_.resize(ptr_.back());
  for (std::size_t t = 0; t < slot_of_.size(); ++t) {
    if (slot_of_[t] != kNone) steps_[next_[slot_of_[t]]++] = static_cast<std::uint32_t>(t);
  }
}

std::uint32_t StageSteps::add_slot(std::uint32_t rfactored) {
  rfactored_.push_back(rfactored);
  return static_cast<std::uint32_t>(rfactored_.size() - 1);
}

void StageSteps::insert_stage(const Step& step) {
  const auto at = order_.begin() + step.stage_id;
  if (step.index == 1) {
    order_.insert(at + 1, add_slot(kNone));
  } else {
    const std::uint32_t before = *at;
    *at = add_slot(before);
    order_.insert(at, add_slot(before));
  }
}

void StageSteps::structure(const Schedule& schedule, StructureKey& key) const {
  key.clear();
  key.push_back(static_cast<std::int64_t>(schedule.num_stages()));
  key.push_back(static_cast<std::int64_t>(schedule.num_stages()));  // the number of inserts, below
  std::int64_t inserts = 0;
  for (const Step& step : schedule.steps) {
    if (step.kind != StepKind::kInsert) continue;
    ++inserts;
    key.push_back(2 + static_cast<std::int64_t>(step.num_values));
    key.push_back(step.stage_id);
    key.push_back(step.index);
    for (const std::int64_t value : schedule.values(step)) key.push_back(value);
  }
  key[1] = inserts;
  for (std::size_t i = 0; i < schedule.num_stages(); ++i) {
    key.push_back(schedule.placements[i].compute_at == ComputeAt::kInlined);
    const std::size_t count = key.size();
    key.push_back(0);
    const std::uint32_t rfactored = rfactored_[order_[i]];
    if (rfactored == kNone) continue;
    for (const std::uint32_t t : of_slot(rfactored)) {
      const Step& step = schedule.steps[t];
      if (step.kind != StepKind::kSplit) continue;
      for (const std::int64_t factor : schedule.values(step)) key.push_back(factor);
    }
    key[count] = static_cast<std::int64_t>(key.size() - count - 1);
  }
}

}  // namespace tvm_gnn_cost
