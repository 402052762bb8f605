// What blocks contain, as integers: those with the same integers compute the same, whatever loops are around them.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "graphs/structure_key.h"
#include "tir/library.h"
#include "tir/types.h"

namespace tvm_gnn_cost::tir {

// Encodes objects by the fields that TVM's reflection names, each variable and buffer by the number that it gets where it
// is met first. One object serves one thread, and many blocks in turn.
class StructureEncoder {
 public:
  StructureEncoder(const ffi::Library& library, const Types& types) : library_(library), types_(types) {}

  // A new block, whose integers go to `key`.
  void start(StructureKey& key);
  void put(std::int64_t value) { key_->push_back(value); }
  // An object with all that it holds. Raises NotUnderstood for what cannot be seen through.
  void put(ffi::Address object);
  void put(const ffi::Value& value);
  void put_text(std::string_view text);
  // The variables and buffers that were met, by their numbers.
  const std::vector<ffi::Address>& variables() const { return variables_; }

 private:
  enum class Content { kObject, kValue, kBytes };
  struct Part {
    std::int64_t offset;
    Content content;
    std::uint32_t size;  // of kBytes
  };
  // How the objects of a type are encoded.
  struct Plan {
    bool is_variable = false;  // a name for something, not a value
    bool is_unique = false;    // there is one object of each kind
    std::vector<Part> parts;
  };

  const Plan& plan(std::int32_t type_index);
  Plan make_plan(std::int32_t type_index) const;
  bool put_known(ffi::Address variable);

  const ffi::Library& library_;
  const Types& types_;
  StructureKey* key_ = nullptr;
  std::vector<std::unique_ptr<Plan>> plans_;  // by type index
  std::vector<ffi::Address> variables_;       // by number
};

}  // namespace tvm_gnn_cost::tir
