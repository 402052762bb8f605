// Python bindings of the reader of schedules.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unordered_map.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <utility>
#include <vector>

#include "ansor/bindings.h"
#include "ansor/schedule.h"
#include "ansor/tvm_layout.h"
#include "graphs/numpy_arrays.h"
#include "graphs/parallel.h"

namespace nb = nanobind;

namespace tvm_gnn_cost {
namespace {

constexpr std::size_t kLeastStatesPerThread = 64;

// What one thread read: schedules in the flat encoding (see read_schedules), with operations numbered by its own table.
struct EncodedChunk {
  std::vector<std::int64_t> flat;
  std::vector<std::size_t> op_positions;  // where operation numbers stand in `flat`
  std::vector<std::int64_t> lengths;      // of each state's part
  std::vector<OpIdentity> ops;
};

void encode(const Schedule& schedule, EncodedChunk& out) {
  std::vector<std::int64_t>& flat = out.flat;
  const auto put = [&flat](auto... values) { (flat.push_back(static_cast<std::int64_t>(values)), ...); };
  const std::size_t begin = flat.size();
  put(schedule.num_stages(), schedule.steps.size());
  for (std::size_t i = 0; i < schedule.num_stages(); ++i) {
    const Placement& placement = schedule.placements[i];
    const Span<Loop> loops = schedule.loops(i);
    out.op_positions.push_back(flat.size());
    put(schedule.ops[i], placement.compute_at, placement.attach_stage, placement.attach_loop,
        placement.auto_unroll_max_step, placement.storage_offset, loops.size());
    for (const Loop& loop : loops) put(loop.extent, loop.kind, loop.annotation);
  }
  for (const Step& step : schedule.steps) {
    put(step.kind, step.stage_id, step.index, step.inner_to_outer, step.num_values);
    for (const std::int64_t value : schedule.values(step)) put(value);
  }
  out.lengths.push_back(static_cast<std::int64_t>(flat.size() - begin));
}

struct EncodedBatch {
  std::vector<std::int64_t> flat;
  std::vector<std::int64_t> ptr{0};
  OpTable ops;
};

EncodedBatch join(std::vector<EncodedChunk>& chunks) {
  EncodedBatch batch;
  for (EncodedChunk& chunk : chunks) {
    std::vector<std::int64_t> ids;
    for (const OpIdentity& op : chunk.ops) ids.push_back(batch.ops.id(op));
    for (const std::size_t position : chunk.op_positions) chunk.flat[position] = ids[chunk.flat[position]];
    batch.flat.insert(batch.flat.end(), chunk.flat.begin(), chunk.flat.end());
    for (const std::int64_t length : chunk.lengths) batch.ptr.push_back(batch.ptr.back() + length);
  }
  return batch;
}

EncodedBatch read_encoded(std::uintptr_t address, const TypeTable& types, const Layout& layout, int n_threads) {
  const std::vector<Address> states = state_addresses(address, types, layout);
  std::vector<EncodedChunk> chunks(thread_count(states.size(), n_threads, kLeastStatesPerThread));
  for_each_chunk(states.size(), chunks.size(), [&](std::size_t chunk, std::size_t begin, std::size_t end) {
    ScheduleReader reader(types, layout);
    Schedule schedule;
    for (std::size_t i = begin; i < end; ++i) {
      reader.read(states[i], schedule);
      encode(schedule, chunks[chunk]);
    }
    chunks[chunk].ops = reader.op_table().ops();
  });
  return join(chunks);
}

nb::tuple to_tuple(const std::vector<std::int64_t>& values) {
  return nb::tuple(nb::cast(values));
}

nb::tuple read_schedules(std::uintptr_t address, const TypeIndices& type_indices, int n_threads, const Offsets& moved) {
  const TypeTable types = make_type_table(type_indices);
  const Layout layout = make_layout(moved);
  EncodedBatch batch;
  {
    const nb::gil_scoped_release release;
    batch = read_encoded(address, types, layout, n_threads);
  }
  nb::list ops;
  for (const OpIdentity& op : batch.ops.ops()) {
    ops.append(nb::make_tuple(op.name, op.is_placeholder, to_tuple(op.axis_extents), to_tuple(op.reduce_extents)));
  }
  return nb::make_tuple(to_array(std::move(batch.flat)), to_array(std::move(batch.ptr)), ops);
}

}  // namespace

void bind_reader(nb::module_& module) {
  static const nb::exception<LayoutError> layout_error(module, "LayoutError", PyExc_RuntimeError);
  // Its arguments are (message, type index), so that the caller can look the type up and try again.
  static const nb::object unknown_type_index = nb::steal<nb::object>(
      PyErr_NewException("tvm_gnn_cost._native.UnknownTypeIndexError", layout_error.ptr(), nullptr));
  module.attr("UnknownTypeIndexError") = unknown_type_index;
  nb::register_exception_translator([](const std::exception_ptr& error, void*) {
    try {
      std::rethrow_exception(error);
    } catch (const UnknownTypeIndex& unknown) {
      const nb::tuple args = nb::make_tuple(unknown.what(), unknown.index());
      PyErr_SetObject(unknown_type_index.ptr(), args.ptr());
    }
  });

  nb::list keys;
  for (std::size_t id = 1; id < kTypeKeys.size(); ++id) keys.append(kTypeKeys[id]);
  module.attr("TYPE_KEYS") = nb::tuple(keys);
  nb::dict fields;
  for (const auto& [name, offset] : Layout::fields()) fields[name.c_str()] = offset;
  module.attr("LAYOUT_FIELDS") = fields;

  module.def(
      "read_schedules", &read_schedules, nb::arg("address"), nb::arg("type_indices"), nb::arg("n_threads") = 0,
      nb::arg("moved_fields") = Offsets(),
      R"(Reads the Array<State> object at `address`; the caller keeps it alive.

Args:
    address: of the array's Object (`array.handle`).
    type_indices: TVM's run-time type index by type key (TYPE_KEYS); types that no object was made of may be missing.
    n_threads: at most so many threads; 0: one a core.
    moved_fields: byte offsets by field name (LAYOUT_FIELDS) that differ from TVM 0.19's, for tests of a wrong layout.

Returns (flat, ptr, ops). State i is flat[ptr[i]:ptr[i + 1]], int64:
    number of stages, number of steps;
    per stage: op, compute_at, attach stage, attach loop (both -1: not attached), auto_unroll_max_step, storage_offset,
        number of loops, and per loop: extent, kind, annotation;
    per step: kind, stage_id, index, inner_to_outer, number of values, and the values.
op indexes `ops`: (name, is_placeholder, axis extents or a placeholder's shape, reduce_axis extents).

Raises LayoutError if the memory is not laid out as expected, UnknownTypeIndexError(message, index) for an object of a
type that is not in `type_indices`.)");
}

}  // namespace tvm_gnn_cost
