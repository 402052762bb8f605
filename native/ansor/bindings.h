// What the bindings of Ansor's states share.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <string>
#include <unordered_map>

#include "ansor/tvm_layout.h"

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

// Adds read_schedules, its errors and the tables of the layout to the module.
void bind_reader(nanobind::module_& module);
// Adds GraphExtractor to the module.
void bind_graph_extractor(nanobind::module_& module);

}  // namespace tvm_gnn_cost
