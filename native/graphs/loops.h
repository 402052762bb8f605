// What loops are, and where a schedule places a stage. The numbers are those of TVM's auto_scheduler.
#pragma once

#include <cstdint>

namespace tvm_gnn_cost {

enum class ComputeAt : std::int32_t { kRoot = 0, kInlined = 1, kIter = 2 };
enum class LoopKind : std::int32_t { kSpatial = 0, kReduction = 1, kMixed = 2, kSpecial = 3 };
enum class Annotation : std::int32_t {
  kNone = 0,
  kUnroll = 1,
  kVectorize = 2,
  kParallel = 3,
  kVThread = 4,
  kBlockX = 5,
  kThreadX = 6,
  kBlockY = 7,
  kThreadY = 8,
  kBlockZ = 9,
  kThreadZ = 10,
  kTensorize = 11,
};

using Annotations = std::uint32_t;  // a set: one bit each

constexpr Annotations annotations(Annotation annotation) { return 1u << static_cast<std::int32_t>(annotation); }

inline constexpr Annotations kBlockAnnotations =
    annotations(Annotation::kBlockX) | annotations(Annotation::kBlockY) | annotations(Annotation::kBlockZ);
inline constexpr Annotations kThreadAnnotations =
    annotations(Annotation::kThreadX) | annotations(Annotation::kThreadY) | annotations(Annotation::kThreadZ);
inline constexpr Annotations kSharedByThreads = kThreadAnnotations | annotations(Annotation::kVThread);

// Where and how a stage runs, its loops aside.
struct Placement {
  ComputeAt compute_at;
  std::int32_t attach_stage;  // -1: not attached
  std::int32_t attach_loop;
  std::int32_t auto_unroll_max_step;
  std::int32_t storage_offset;

  // Whether the stage is computed inside a loop of another.
  bool is_attached() const { return compute_at == ComputeAt::kIter && attach_stage >= 0; }
};

}  // namespace tvm_gnn_cost
