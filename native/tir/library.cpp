#include "tir/library.h"

#include <dlfcn.h>

#include <type_traits>

namespace tvm_gnn_cost::ffi {

namespace {

std::string join(std::initializer_list<const char*> names) {
  std::string result;
  for (const char* const name : names) result += (result.empty() ? "" : " or ") + std::string(name);
  return result;
}

Value argument(const char* text) {
  Value value{kRawStr, 0, {0}};
  value.raw = text;
  return value;
}

Value object_argument(Address object) {
  Value value{type_of(object), 0, {0}};
  value.object = reinterpret_cast<const Object*>(object);
  return value;
}

}  // namespace

Library::Library(const std::string& path) {
  void* const handle = dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) throw MissingError("tvm-ffi is not loaded from " + path);
  const auto find = [&](auto*& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
    if (function == nullptr) throw MissingError(path + " has no " + name);
  };
  find(type_key_to_index_, "TVMFFITypeKeyToIndex");
  find(get_type_info_, "TVMFFIGetTypeInfo");
  find(function_get_global_, "TVMFFIFunctionGetGlobal");
  find(function_call_, "TVMFFIFunctionCall");
  find(error_move_from_raised_, "TVMFFIErrorMoveFromRaised");
  find(object_dec_ref_, "TVMFFIObjectDecRef");
  map_size_ = global_function("ffi.MapSize");
  map_count_ = global_function("ffi.MapCount");
  map_get_item_ = global_function("ffi.MapGetItem");
}

std::int32_t Library::find_type(std::initializer_list<const char*> keys) const {
  for (const char* const key : keys) {
    const ByteArray name{key, std::char_traits<char>::length(key)};
    std::int32_t index = -1;
    if (type_key_to_index_(&name, &index) == 0) return index;
    forget_error();
  }
  return -1;
}

const TypeInfo& Library::type(std::initializer_list<const char*> keys) const {
  const std::int32_t index = find_type(keys);
  const TypeInfo* const info = index < 0 ? nullptr : get_type_info_(index);
  if (info == nullptr || info->type_index != index) throw MissingError("TVM has no type " + join(keys));
  return *info;
}

Field Library::field(const TypeInfo& type, std::initializer_list<const char*> names, std::int64_t size) const {
  for (const char* const name : names) {
    Field found;
    std::int64_t found_size = 0;
    for_each_field(type, [&](const FieldInfo& field) {
      if (view(field.name) == name) found.offset = field.offset, found_size = field.size;
    });
    if (found.offset < 0) continue;
    if (found_size != size) {
      throw MissingError("field " + std::string(name) + " of TVM's type " + std::string(view(type.key)) + " has " +
                         std::to_string(found_size) + " bytes, not " + std::to_string(size));
    }
    return found;
  }
  throw MissingError("TVM's type " + std::string(view(type.key)) + " has no field " + join(names));
}

std::int64_t Library::map_size(Address map) const {
  return map == nullptr ? 0 : call(map_size_, {object_argument(map)}).integer;
}

bool Library::map_has(Address map, const char* key) const {
  return call(map_count_, {object_argument(map), argument(key)}).integer != 0;
}

Value Library::map_item(Address map, const char* key) const {
  return call(map_get_item_, {object_argument(map), argument(key)});
}

void Library::release(const Value& value) const {
  if (value.type_index >= kFirstObject) object_dec_ref_(const_cast<Object*>(value.object));
}

void* Library::global_function(const char* name) const {
  const ByteArray bytes{name, std::char_traits<char>::length(name)};
  void* function = nullptr;
  if (function_get_global_(&bytes, &function) != 0) forget_error();
  if (function == nullptr) throw MissingError("TVM has no function " + std::string(name));
  return function;
}

Value Library::call(void* function, std::initializer_list<Value> arguments) const {
  Value result{kNone, 0, {0}};
  const auto count = static_cast<std::int32_t>(arguments.size());
  if (function_call_(function, const_cast<Value*>(arguments.begin()), count, &result) != 0) {
    forget_error();
    throw std::runtime_error("a map of TVM cannot be read");
  }
  return result;
}

void Library::forget_error() const {
  void* error = nullptr;
  error_move_from_raised_(&error);
  if (error != nullptr) object_dec_ref_(error);
}

std::string_view text(const Value& value) {
  if (value.type_index == kSmallStr) return {value.bytes, value.small_length};
  if (value.type_index != kStr) return {};
  return view(*reinterpret_cast<const ByteArray*>(reinterpret_cast<Address>(value.object) + sizeof(Object)));
}

}  // namespace tvm_gnn_cost::ffi
