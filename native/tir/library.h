// tvm-ffi as Python loaded it: types and fields by name, strings, arrays, maps.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

#include "graphs/span.h"
#include "tir/ffi_abi.h"

namespace tvm_gnn_cost::ffi {

// TVM has not what the reader needs: another library, a type or a field that is missing.
class MissingError : public std::runtime_error {
 public:
  explicit MissingError(const std::string& what) : std::runtime_error(what) {}
};

using Address = const char*;  // of an object

inline std::int32_t type_of(Address object) { return reinterpret_cast<const Object*>(object)->type_index; }

// Where a field lies in the objects of a type.
struct Field {
  std::int64_t offset = -1;

  // The object that the field holds; null for none.
  Address object(Address of) const { return *reinterpret_cast<const Address*>(of + offset); }
  const Value& value(Address of) const { return *reinterpret_cast<const Value*>(of + offset); }
  std::int32_t number(Address of) const { return *reinterpret_cast<const std::int32_t*>(of + offset); }
};

class Library {
 public:
  // The library at `path`, which must be loaded already. Raises MissingError.
  explicit Library(const std::string& path);

  // The first of the types that TVM has. Raises MissingError, with the names, if it has none.
  const TypeInfo& type(std::initializer_list<const char*> keys) const;
  // The same as an index; -1 if it has none.
  std::int32_t find_type(std::initializer_list<const char*> keys) const;
  const TypeInfo* type_info(std::int32_t index) const { return get_type_info_(index); }
  // The first of the fields that the type has, of so many bytes. Raises MissingError, with the names, if it has none.
  Field field(const TypeInfo& type, std::initializer_list<const char*> names, std::int64_t size) const;

  // Of a map, through TVM's own functions, which any thread may call.
  std::int64_t map_size(Address map) const;
  bool map_has(Address map, const char* key) const;
  // Raises std::runtime_error for a key that it has not. What is returned must be given to `release`.
  Value map_item(Address map, const char* key) const;
  void release(const Value& value) const;

 private:
  void* global_function(const char* name) const;
  Value call(void* function, std::initializer_list<Value> arguments) const;
  void forget_error() const;

  TypeKeyToIndex* type_key_to_index_;
  GetTypeInfo* get_type_info_;
  FunctionGetGlobal* function_get_global_;
  FunctionCall* function_call_;
  ErrorMoveFromRaised* error_move_from_raised_;
  ObjectDecRef* object_dec_ref_;
  void *map_size_, *map_count_, *map_get_item_;  // never freed: they are the process's
};

// Fields of a type, ancestors first.
template <typename Visit>
void for_each_field(const TypeInfo& type, const Visit& visit) {
  const auto of = [&](const TypeInfo& one) {
    for (std::int32_t i = 0; i < one.num_fields; ++i) visit(one.fields[i]);
  };
  for (std::int32_t depth = 0; depth < type.depth; ++depth) of(*type.ancestors[depth]);
  of(type);
}

inline std::string_view view(const ByteArray& bytes) { return {bytes.data, bytes.size}; }

// The text of a value that is a string, else "". Valid as long as the value is.
std::string_view text(const Value& value);

// The elements of an array; none for null.
inline Span<Value> elements(Address array) {
  if (array == nullptr) return {};
  const auto& sequence = *reinterpret_cast<const Sequence*>(array + sizeof(Object));
  return {sequence.data, static_cast<std::size_t>(sequence.size)};
}

inline Address address(const Value& value) {
  return value.type_index >= kFirstObject ? reinterpret_cast<Address>(value.object) : nullptr;
}

}  // namespace tvm_gnn_cost::ffi
