// Where the fields of TVM 0.19's auto_scheduler objects lie in memory (Itanium C++ ABI, libstdc++, 64 bit), and checked
// access to them.
//
// The headers of these classes are not part of TVM's wheels, and none is used here: the offsets follow from the members
// listed in include/tvm/{runtime/object.h,runtime/container/array.h,ir/expr.h,te/operation.h,auto_scheduler/*.h}. 0.19
// is the last release with auto_scheduler, so they are final. Nothing is taken on trust all the same: every object's
// header is compared with its type before a field of it is read, sizes are bounded, and enumerations must be in range.
// What does not fit is a LayoutError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ansor/type_keys.h"

namespace tvm_gnn_cost {

// The memory does not look like TVM 0.19's.
class LayoutError : public std::runtime_error {
 public:
  explicit LayoutError(const std::string& what) : std::runtime_error("layout mismatch at " + what) {}
};

// An object's type index has no entry in the table. TVM hands out the index of a type when its first object is made, so
// a table taken earlier may lack a type that is legitimately met now: the caller looks the index up and tries again.
class UnknownTypeIndex : public LayoutError {
 public:
  UnknownTypeIndex(std::uint32_t index, const std::string& where)
      : LayoutError(where + ": type index " + std::to_string(index) + " is not in the table"), index_(index) {}
  std::uint32_t index() const { return index_; }

 private:
  std::uint32_t index_;
};

// Run-time type index -> TypeId.
class TypeTable {
 public:
  // Raises std::invalid_argument for an unknown key, an index out of bounds, or one that is given twice.
  void set(std::string_view key, std::uint32_t index) {
    if (index >= kMaxTypes) throw std::invalid_argument("type index out of bounds for " + std::string(key));
    for (std::size_t id = 1; id < kTypeKeys.size(); ++id) {
      if (key != kTypeKeys[id]) continue;
      if (index >= ids_.size()) ids_.resize(index + 1, TypeId::kUnknown);
      if (ids_[index] != TypeId::kUnknown) throw std::invalid_argument("type index given twice: " + std::string(key));
      ids_[index] = static_cast<TypeId>(id);
      return;
    }
    throw std::invalid_argument("unknown type key " + std::string(key));
  }

  TypeId operator[](std::uint32_t index) const { return index < ids_.size() ? ids_[index] : TypeId::kUnknown; }

 private:
  static constexpr std::uint32_t kMaxTypes = 1u << 20;
  std::vector<TypeId> ids_;
};

// Offsets in bytes from the `Object` part of an object, which is what TVM's references point to. Classes with virtual
// functions (steps, operations, IterVar) keep their table pointer in front of it, at -8. `Object` is 16 bytes:
// uint32 type_index, int32 ref_counter, pointer deleter.
#define TVM_GNN_COST_LAYOUT(FIELD)                                                                       \
  FIELD(array_size, 16)                       /* int64 */                                                \
  FIELD(array_capacity, 24)                   /* int64 */                                                \
  FIELD(array_data, 32)                       /* references, in place */                                 \
  FIELD(int_imm_value, 32)                    /* int64, behind Span span; DataType dtype */              \
  FIELD(range_extent, 24)                     /* PrimExpr, behind PrimExpr min */                        \
  FIELD(iter_var_dom, 16)                     /* Range */                                                \
  FIELD(operation_name, 16)                   /* std::string; behind it std::string tag, Map attrs */    \
  FIELD(compute_op_axis, 88)                  /* Array<IterVar> */                                       \
  FIELD(compute_op_reduce_axis, 96)           /* Array<IterVar> */                                       \
  FIELD(placeholder_op_shape, 88)             /* Array<PrimExpr> */                                      \
  FIELD(state_stages, 16)                     /* Array<Stage> */                                         \
  FIELD(state_steps, 24)                      /* Array<Step> */                                          \
  FIELD(state_attach_map, 32)                 /* AttachMap */                                            \
  FIELD(stage_op, 16)                         /* te::Operation */                                        \
  FIELD(stage_iters, 24)                      /* Array<Iterator> */                                      \
  FIELD(stage_op_type, 32)                    /* int32 StageKind */                                      \
  FIELD(stage_compute_at, 36)                 /* int32 ComputeAtKind */                                  \
  FIELD(stage_auto_unroll_max_step, 40)       /* int32 */                                                \
  FIELD(stage_storage_offset, 44)             /* int32 */                                                \
  FIELD(iterator_range, 24)                   /* Range, behind String name */                            \
  FIELD(iterator_kind, 32)                    /* int32 IteratorKind */                                   \
  FIELD(iterator_annotation, 36)              /* int32 IteratorAnnotation */                             \
  FIELD(attach_first_node, 32)                /* of std::unordered_map<int, pair<int, int>>, behind ... */ \
  FIELD(attach_count, 40)                     /* ... its buckets and their number */                     \
  FIELD(attach_node_key, 8)                   /* int32, from the hash node, behind its `next` */         \
  FIELD(attach_node_stage, 12)                /* int32 */                                                \
  FIELD(attach_node_loop, 16)                 /* int32 */                                                \
  FIELD(step_stage_id, 16)                    /* int32 */                                                \
  FIELD(step_iter_id, 20)                     /* int32: split steps and rfactor */                       \
  FIELD(split_lengths, 32)                    /* Array<Optional<Integer>>, behind Optional<Integer> extent */ \
  FIELD(split_inner_to_outer, 40)             /* bool */                                                 \
  FIELD(follow_split_source, 24)              /* int32 */                                                \
  FIELD(follow_split_n_split, 28)             /* int32 */                                                \
  FIELD(follow_fused_split_sources, 24)       /* Array<Integer> */                                       \
  FIELD(follow_fused_split_level, 32)         /* int32 */                                                \
  FIELD(follow_fused_split_by_factor, 36)     /* bool */                                                 \
  FIELD(cache_read_readers, 32)               /* Array<Integer>, behind String scope_name */             \
  FIELD(rfactor_factor_iter_id, 24)           /* int32 */                                                \
  FIELD(fuse_ids, 24)                         /* Array<Integer> */                                       \
  FIELD(reorder_ids, 24)                      /* Array<Integer> */

struct Layout {
#define TVM_GNN_COST_FIELD(name, offset) std::int32_t name = offset;
  TVM_GNN_COST_LAYOUT(TVM_GNN_COST_FIELD)
#undef TVM_GNN_COST_FIELD

  // Moves a field, to try out what a wrong layout does. Raises std::invalid_argument for an unknown name.
  void move(std::string_view name, std::int32_t offset) {
#define TVM_GNN_COST_FIELD(field, unused) \
  if (name == #field) {                   \
    field = offset;                       \
    return;                               \
  }
    TVM_GNN_COST_LAYOUT(TVM_GNN_COST_FIELD)
#undef TVM_GNN_COST_FIELD
    throw std::invalid_argument("unknown layout field " + std::string(name));
  }

  // Every field's name and offset.
  static std::vector<std::pair<std::string, std::int32_t>> fields() {
    return {
#define TVM_GNN_COST_FIELD(name, offset) {#name, offset},
        TVM_GNN_COST_LAYOUT(TVM_GNN_COST_FIELD)
#undef TVM_GNN_COST_FIELD
    };
  }
};

// More than any schedule has, and little enough that a wild number is noticed before it is followed.
struct Limits {
  static constexpr std::int64_t kStates = 1 << 24;
  static constexpr std::int64_t kStages = 1 << 12;
  static constexpr std::int64_t kLoops = 1 << 10;
  static constexpr std::int64_t kSteps = 1 << 16;
  static constexpr std::int64_t kValues = 1 << 12;
  static constexpr std::uint64_t kNameLength = 1 << 16;
};

using Address = const unsigned char*;

// Reads fields of TVM objects. `where` names the place for an error.
class Memory {
 public:
  Memory(const TypeTable& types, const Layout& layout) : types_(types), layout_(layout) {}

  const Layout& layout() const { return layout_; }

  template <typename T>
  static T load(Address base, std::int32_t offset) {
    T value;
    std::memcpy(&value, base + offset, sizeof(T));
    return value;
  }

  // The reference at `offset`; null is allowed. Anything else must at least look like a pointer to an object.
  static Address reference(Address base, std::int32_t offset, const char* where) {
    const Address target = load<Address>(base, offset);
    const auto bits = reinterpret_cast<std::uintptr_t>(target);
    if (bits != 0 && (bits % 8 != 0 || bits < 4096 || bits >> 47 != 0)) {
      throw LayoutError(std::string(where) + ": no pointer");
    }
    return target;
  }

  TypeId type(Address object) const { return types_[type_index(object)]; }

  // The object at `offset`, which must be of the type.
  Address object(Address base, std::int32_t offset, TypeId type, const char* where) const {
    const Address target = reference(base, offset, where);
    if (target == nullptr) throw LayoutError(std::string(where) + ": null");
    expect(target, type, where);
    return target;
  }

  void expect(Address object, TypeId expected, const char* where) const {
    const TypeId found = type(object);
    if (found == expected) return;
    if (found == TypeId::kUnknown) throw UnknownTypeIndex(type_index(object), where);
    throw LayoutError(std::string(where) + ": expected " + kTypeKeys[static_cast<std::size_t>(expected)] + ", found " +
                      kTypeKeys[static_cast<std::size_t>(found)]);
  }

  // For a type that must be one of several: a known one, whichever.
  TypeId known_type(Address object, const char* where) const {
    const TypeId found = type(object);
    if (found == TypeId::kUnknown) throw UnknownTypeIndex(type_index(object), where);
    return found;
  }

  // The value of an expression if it is a constant, else `otherwise`.
  std::int64_t constant(Address expression, std::int64_t otherwise) const {
    if (expression == nullptr || type(expression) != TypeId::kIntImm) return otherwise;
    return load<std::int64_t>(expression, layout_.int_imm_value);
  }

  // An enumeration or a small count, in [0, end).
  static std::int32_t bounded(Address base, std::int32_t offset, std::int32_t end, const char* where) {
    const auto value = load<std::int32_t>(base, offset);
    if (value < 0 || value >= end) throw LayoutError(std::string(where) + ": " + std::to_string(value));
    return value;
  }

  static bool boolean(Address base, std::int32_t offset, const char* where) {
    const auto value = load<std::uint8_t>(base, offset);
    if (value > 1) throw LayoutError(std::string(where) + ": " + std::to_string(value));
    return value == 1;
  }

  // A libstdc++ std::string with the C++11 ABI: pointer, length, and either 16 bytes in place or the capacity.
  static std::string_view string(Address base, std::int32_t offset, const char* where) {
    const Address text = load<Address>(base, offset);
    const auto length = load<std::uint64_t>(base, offset + 8);
    const bool in_place = text == base + offset + 16;
    const std::uint64_t capacity = in_place ? 15 : load<std::uint64_t>(base, offset + 16);
    if (reinterpret_cast<std::uintptr_t>(text) < 4096 || length > capacity || length > Limits::kNameLength ||
        (!in_place && capacity <= 15)) {
      throw LayoutError(std::string(where) + ": no string");
    }
    return {reinterpret_cast<const char*>(text), length};
  }

 private:
  static std::uint32_t type_index(Address object) { return load<std::uint32_t>(object, 0); }

  const TypeTable& types_;
  const Layout& layout_;
};

// An ArrayNode. As in TVM, a null reference is an empty array.
class ArrayView {
 public:
  ArrayView(const Memory& memory, Address array, std::int64_t limit, const char* where) : where_(where) {
    if (array == nullptr) return;
    memory.expect(array, TypeId::kArray, where);
    size_ = Memory::load<std::int64_t>(array, memory.layout().array_size);
    const auto capacity = Memory::load<std::int64_t>(array, memory.layout().array_capacity);
    if (size_ < 0 || size_ > limit || capacity < size_) {
      throw LayoutError(std::string(where) + ": size " + std::to_string(size_) + " of " + std::to_string(capacity));
    }
    data_ = array + memory.layout().array_data;
  }

  // The array that the field at `offset` refers to.
  ArrayView(const Memory& memory, Address base, std::int32_t offset, std::int64_t limit, const char* where)
      : ArrayView(memory, Memory::reference(base, offset, where), limit, where) {}

  std::int64_t size() const { return size_; }

  // Element i, which may be null.
  Address operator[](std::int64_t i) const {
    return Memory::reference(data_, static_cast<std::int32_t>(i * static_cast<std::int64_t>(sizeof(Address))), where_);
  }

  // Element i, which must be an object of the type.
  Address object(const Memory& memory, std::int64_t i, TypeId type) const {
    const Address element = (*this)[i];
    if (element == nullptr) throw LayoutError(std::string(where_) + ": null");
    memory.expect(element, type, where_);
    return element;
  }

 private:
  std::int64_t size_ = 0;
  Address data_ = nullptr;
  const char* where_;
};

}  // namespace tvm_gnn_cost
