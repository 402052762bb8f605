// The part of tvm-ffi's C interface that is used here, as its releases 0.1.12 to 0.1.15 have it: objects, values,
// strings, arrays, and the table that says where the fields of a type lie. All of it is public (`tvm/ffi/c_api.h`); how
// TVM's own classes are laid out is asked of that table, and nothing about them is written down here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tvm_gnn_cost::ffi {

// What type_index says of a value; objects of TVM's own types have indices from kFirstDynamic on.
enum TypeIndex : std::int32_t {
  kAny = -1,
  kNone = 0,
  kInt = 1,
  kBool = 2,
  kFloat = 3,
  kDataType = 5,
  kRawStr = 8,     // of an argument: a text that ends with a zero
  kSmallStr = 11,  // a text in the value itself
  kFirstObject = 64,
  kStr = 65,
  kArray = 71,
  kMap = 72,
  kList = 75,
  kFirstDynamic = 128,
};

// The head of every object.
struct Object {
  std::uint64_t reference_counts;
  std::int32_t type_index;
  std::uint32_t padding;
  void* deleter;
};

struct Value {
  std::int32_t type_index;
  std::uint32_t small_length;  // of kSmallStr
  union {
    std::int64_t integer;
    double number;
    const Object* object;
    const char* raw;
    char bytes[8];
  };
};

struct ByteArray {
  const char* data;
  std::size_t size;
};

// What follows the head of a kStr: a ByteArray. Of a kArray and a kList: this.
struct Sequence {
  const Value* data;
  std::int64_t size;
  std::int64_t capacity;
  void* data_deleter;
};

struct FieldInfo {
  ByteArray name, doc, metadata;
  std::int64_t flags, size, alignment, offset;
  void* getter;
  void* setter;
  Value default_value;
  std::int32_t static_type;  // a TypeIndex, as the field was declared
};

// Flag of a field that does not count where objects are compared: the place in a source file.
inline constexpr std::int64_t kIgnoredInComparisons = 1 << 3;

struct TypeInfo {
  std::int32_t type_index;
  std::int32_t depth;  // number of ancestors
  ByteArray key;
  const TypeInfo* const* ancestors;
  std::uint64_t key_hash;
  std::int32_t num_fields, num_methods;
  const FieldInfo* fields;
  const void* methods;
  const void* metadata;
};

static_assert(sizeof(void*) == 8, "the layout is that of 64-bit platforms");
static_assert(sizeof(Object) == 24 && sizeof(Value) == 16 && sizeof(ByteArray) == 16 && sizeof(Sequence) == 32);
static_assert(offsetof(FieldInfo, flags) == 48 && offsetof(FieldInfo, offset) == 72);
static_assert(offsetof(FieldInfo, static_type) == 112 && sizeof(FieldInfo) == 120);
static_assert(offsetof(TypeInfo, ancestors) == 24 && offsetof(TypeInfo, fields) == 48 && sizeof(TypeInfo) == 72);

using TypeKeyToIndex = int(const ByteArray* key, std::int32_t* index);
using GetTypeInfo = const TypeInfo*(std::int32_t index);
using FunctionGetGlobal = int(const ByteArray* name, void** function);
using FunctionCall = int(void* function, Value* arguments, std::int32_t count, Value* result);
using ErrorMoveFromRaised = void(void** error);
using ObjectDecRef = int(void* object);

}  // namespace tvm_gnn_cost::ffi
