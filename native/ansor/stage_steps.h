// The steps of a schedule by the stage that they shape (`derivation.steps_by_stage`), and the schedule's structure
// (`Schedule.structure`).
#pragma once

#include <cstdint>
#include <vector>

#include "ansor/schedule.h"
#include "graphs/span.h"
#include "graphs/structure_key.h"

namespace tvm_gnn_cost {

class StageSteps {
 public:
  // Sorts the steps of `schedule`. Raises ScheduleError where a step names a stage that does not exist.
  void sort(const Schedule& schedule);

  // The steps (as positions in the schedule's) that shape the loops of stage i, in order. No INSERT is among them.
  Span<std::uint32_t> of(std::size_t i) const { return of_slot(order_[i]); }

  // The structure of the schedule that was sorted last: number of stages, number of inserts; per insert: number of
  // values, stage, index, values ...; per stage: is inlined, number of rfactor factors, factors.
  void structure(const Schedule& schedule, StructureKey& key) const;

 private:
  static constexpr std::uint32_t kNone = ~0u;

  Span<std::uint32_t> of_slot(std::uint32_t slot) const {
    return {steps_.data() + ptr_[slot], ptr_[slot + 1] - ptr_[slot]};
  }
  std::uint32_t add_slot(std::uint32_t rfactored);
  void insert_stage(const Step& step);

  // A slot holds the steps of one stage from its beginning, or from the insert that made it start afresh.
  std::vector<std::uint32_t> order_;      // stage -> slot
  std::vector<std::uint32_t> rfactored_;  // slot -> the slot whose splits came before the insert that made it
  std::vector<std::uint32_t> slot_of_;    // step -> slot
  std::vector<std::uint32_t> steps_, ptr_, next_;
};

}  // namespace tvm_gnn_cost
