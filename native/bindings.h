// What the bindings share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <unordered_map>

#include "tvm_layout.h"

namespace tvm_gnn_cost {

using TypeIndices = std::unordered_map<std::string, std::uint32_t>;
using Offsets = std::unordered_map<std::string, std::int32_t>;

inline TypeTable make_type_table(const TypeIndices& indices) {
  TypeTable table;
  for (const auto& [key, index] : indices) table.set(key, index);
  return table;
}

inline Layout make_layout(const Offsets& moved) {
  Layout layout;
  for (const auto& [name, offset] : moved) layout.move(name, offset);
  return layout;
}

// A numpy array over `data`, which `owned` holds and the array frees.
template <typename T, typename Owned>
nanobind::ndarray<nanobind::numpy, T> to_numpy(std::unique_ptr<Owned> owned, T* data,
                                               std::initializer_list<std::size_t> shape) {
  const nanobind::capsule owner(owned.get(), [](void* p) noexcept { std::unique_ptr<Owned>(static_cast<Owned*>(p)); });
  owned.release();  // the capsule frees it from here on
  return nanobind::ndarray<nanobind::numpy, T>(data, shape, owner);
}

// Adds GraphExtractor to the module.
void bind_graph_extractor(nanobind::module_& module);

}  // namespace tvm_gnn_cost
