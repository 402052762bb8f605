#include "tir/structure.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace tvm_gnn_cost::tir {

namespace {

constexpr std::size_t kMostIntegers = 1 << 22;
constexpr std::int32_t kMostTypes = 1 << 16;
constexpr std::int64_t kNothing = -1, kKnown = -2, kNew = -3, kText = -4;

}  // namespace

void StructureEncoder::start(StructureKey& key) {
  key.clear();
  key_ = &key;
  variables_.clear();
}

void StructureEncoder::put(ffi::Address object) {
  if (object == nullptr) return put(kNothing);
  if (key_->size() > kMostIntegers) throw NotUnderstood("the blocks have too many expressions");
  const std::int32_t type = ffi::type_of(object);
  if (type == ffi::kArray || type == ffi::kList) {
    const Span<ffi::Value> elements = ffi::elements(object);
    put(type);
    put(static_cast<std::int64_t>(elements.size()));
    for (const ffi::Value& element : elements) put(element);
    return;
  }
  if (type == ffi::kStr) {
    ffi::Value value{ffi::kStr, 0, {0}};
    value.object = reinterpret_cast<const ffi::Object*>(object);
    return put_text(ffi::text(value));
  }
  if (type == ffi::kMap) {
    if (library_.map_size(object) != 0) throw NotUnderstood("there is an annotation inside a block");
    return put(type);
  }
  const Plan& plan = this->plan(type);
  if (plan.is_unique) {
    put(type);
    return put(static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(object)));
  }
  if (plan.is_variable && put_known(object)) return;
  put(type);
  for (const Part& part : plan.parts) {
    switch (part.content) {
      case Content::kObject:
        put(*reinterpret_cast<const ffi::Address*>(object + part.offset));
        break;
      case Content::kValue:
        put(*reinterpret_cast<const ffi::Value*>(object + part.offset));
        break;
      case Content::kBytes: {
        std::int64_t bytes = 0;
        std::memcpy(&bytes, object + part.offset, part.size);
        put(bytes);
      }
    }
  }
}

void StructureEncoder::put(const ffi::Value& value) {
  const std::string_view text = ffi::text(value);
  if (value.type_index == ffi::kSmallStr || value.type_index == ffi::kStr) return put_text(text);
  if (value.type_index >= ffi::kFirstObject) return put(ffi::address(value));
  put(value.type_index);
  if (value.type_index != ffi::kNone) put(value.integer);
}

void StructureEncoder::put_text(std::string_view text) {
  put(kText);
  put(static_cast<std::int64_t>(text.size()));
  for (std::size_t at = 0; at < text.size(); at += sizeof(std::int64_t)) {
    std::int64_t bytes = 0;
    std::memcpy(&bytes, text.data() + at, std::min(sizeof(bytes), text.size() - at));
    put(bytes);
  }
}

// Whether the variable was met before; it has a number from here on.
bool StructureEncoder::put_known(ffi::Address variable) {
  for (std::size_t i = variables_.size(); i-- > 0;) {
    if (variables_[i] != variable) continue;
    put(kKnown);
    put(static_cast<std::int64_t>(i));
    return true;
  }
  put(kNew);
  variables_.push_back(variable);
  return false;
}

const StructureEncoder::Plan& StructureEncoder::plan(std::int32_t type_index) {
  if (type_index < 0 || type_index >= kMostTypes) throw NotUnderstood("memory that holds no object of TVM");
  const auto index = static_cast<std::size_t>(type_index);
  if (index >= plans_.size()) plans_.resize(index + 1);
  if (plans_[index] == nullptr) plans_[index] = std::make_unique<Plan>(make_plan(type_index));
  return *plans_[index];
}

StructureEncoder::Plan StructureEncoder::make_plan(std::int32_t type_index) const {
  const ffi::TypeInfo* const info = library_.type_info(type_index);
  if (info == nullptr) throw NotUnderstood("memory that holds no object of TVM");
  Plan plan;
  plan.is_unique = type_index == types_.op;
  plan.is_variable = type_index == types_.variable || type_index == types_.buffer;
  bool has_fields = false;
  ffi::for_each_field(*info, [&](const ffi::FieldInfo& field) {
    has_fields = true;
    if ((field.flags & ffi::kIgnoredInComparisons) != 0) return;
    const bool is_plain = field.static_type >= ffi::kInt && field.static_type <= ffi::kDataType;
    if (field.size == sizeof(ffi::Value)) {
      plan.parts.push_back({field.offset, Content::kValue, 0});
    } else if (is_plain && field.size <= 8) {
      plan.parts.push_back({field.offset, Content::kBytes, static_cast<std::uint32_t>(field.size)});
    } else if (field.size == sizeof(ffi::Address)) {
      plan.parts.push_back({field.offset, Content::kObject, 0});
    } else {
      throw NotUnderstood("field " + std::string(ffi::view(field.name)) + " of TVM's type " +
                          std::string(ffi::view(info->key)) + " cannot be seen through");
    }
  });
  if (!has_fields && !plan.is_unique) {
    throw NotUnderstood("TVM's type " + std::string(ffi::view(info->key)) + " cannot be seen through");
  }
  return plan;
}

}  // namespace tvm_gnn_cost::tir
