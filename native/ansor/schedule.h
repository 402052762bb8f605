// Schedules as plain values: the C++ counterpart of tvm_gnn_cost/ansor/states/schedule.py, and their reader.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "ansor/tvm_layout.h"
#include "graphs/loops.h"
#include "graphs/span.h"

namespace tvm_gnn_cost {

inline constexpr std::int64_t kUnknownExtent = -1;    // UNKNOWN_EXTENT: symbolic
inline constexpr std::int64_t kUndefinedExtent = -2;  // UNDEFINED_EXTENT: no range

enum class StepKind : std::int32_t { kSplit = 0, kFuse = 1, kReorder = 2, kInsert = 3 };

struct Loop {
  std::int64_t extent;  // or kUnknownExtent, kUndefinedExtent
  LoopKind kind;
  Annotation annotation;
};

// A normalised step; the meaning of the fields is that of schedule.Step.
struct Step {
  StepKind kind;
  std::int32_t stage_id;
  std::int32_t index;
  bool inner_to_outer;
  std::uint32_t first_value;
  std::uint32_t num_values;
};

// One state. Loops and step values lie end to end, so that a schedule that is read again and again allocates nothing.
struct Schedule {
  std::vector<Placement> placements;    // by stage
  std::vector<std::int32_t> ops;        // by stage: into OpTable
  std::vector<std::uint32_t> loop_ptr;  // stage i has the loops loop_ptr[i]..loop_ptr[i + 1]
  std::vector<Loop> loops_storage;
  std::vector<Step> steps;
  std::vector<std::int64_t> values_storage;

  std::size_t num_stages() const { return placements.size(); }
  Span<Loop> loops(std::size_t i) const {
    return {loops_storage.data() + loop_ptr[i], loop_ptr[i + 1] - loop_ptr[i]};
  }
  Span<std::int64_t> values(const Step& step) const {
    return {values_storage.data() + step.first_value, step.num_values};
  }

  void clear() {
    placements.clear();
    ops.clear();
    loop_ptr.assign(1, 0);
    loops_storage.clear();
    steps.clear();
    values_storage.clear();
  }
};

// What tells the operation of a stage from another: cache and rfactor stages have operations that the task does not.
struct OpIdentity {
  std::string name;
  bool is_placeholder = false;
  std::vector<std::int64_t> axis_extents;  // the shape, for a placeholder
  std::vector<std::int64_t> reduce_extents;

  bool operator==(const OpIdentity& other) const {
    return is_placeholder == other.is_placeholder && name == other.name && axis_extents == other.axis_extents &&
           reduce_extents == other.reduce_extents;
  }
};

struct OpIdentityHash {
  std::size_t operator()(const OpIdentity& op) const;
};

// Operations by content, numbered in the order they were first met.
class OpTable {
 public:
  std::int32_t id(const OpIdentity& op);
  const std::vector<OpIdentity>& ops() const { return ops_; }

 private:
  std::vector<OpIdentity> ops_;
  std::unordered_map<OpIdentity, std::int32_t, OpIdentityHash> ids_;
};

// Reads states of one batch; one reader a thread. The states must stay alive meanwhile: operations are remembered by
// address.
class ScheduleReader {
 public:
  ScheduleReader(const TypeTable& types, const Layout& layout) : memory_(types, layout) {}

  // Reads the StateNode into `out`, whose former content is lost. Raises LayoutError.
  void read(Address state, Schedule& out);

  const OpTable& op_table() const { return op_table_; }

 private:
  void read_stage(Address stage, Schedule& out);
  void read_attach_map(Address attach_map, Schedule& out) const;
  void read_step(const ArrayView& steps, std::int64_t index, Schedule& out) const;
  void read_split(Address step, Schedule& out) const;
  void read_follow_split(const ArrayView& steps, Address step, Schedule& out) const;
  void read_follow_fused_split(const ArrayView& steps, Address step, Schedule& out) const;
  void append_integers(Address step, std::int32_t offset, const char* where, Schedule& out) const;
  ArrayView split_lengths(const ArrayView& steps, std::int64_t source) const;

  std::int32_t op_id(Address op);
  void append_axis_extents(Address op, std::int32_t offset, std::vector<std::int64_t>& out) const;
  std::int64_t range_extent(Address range, std::int64_t if_null, const char* where) const;

  Memory memory_;
  OpTable op_table_;
  std::unordered_map<Address, std::int32_t> op_by_address_;
  OpIdentity scratch_;
};

// What to do with an element of an Array<State> that is no state.
enum class NoState { kRaise, kMakeNull };

// The states of an Array<State> at an address. Raises LayoutError.
std::vector<Address> state_addresses(std::uintptr_t array, const TypeTable& types, const Layout& layout,
                                     NoState no_state = NoState::kRaise);

}  // namespace tvm_gnn_cost
