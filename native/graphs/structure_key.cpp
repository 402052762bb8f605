#include "graphs/structure_key.h"

namespace tvm_gnn_cost {

std::size_t StructureKeyHash::operator()(const StructureKey& key) const {
  std::uint64_t hash = key.size();
  for (const std::int64_t value : key) {
    hash = (hash ^ static_cast<std::uint64_t>(value)) * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace tvm_gnn_cost
