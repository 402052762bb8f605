// What decides what a schedule's stages compute, as integers that only have to be equal or not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tvm_gnn_cost {

using StructureKey = std::vector<std::int64_t>;

struct StructureKeyHash {
  std::size_t operator()(const StructureKey& key) const;
};

}  // namespace tvm_gnn_cost
