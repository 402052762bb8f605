// TIR's classes in the TVM that is loaded: their type indices, and where their fields lie. Names changed from release to
// release; the first that TVM has is taken.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "tir/library.h"

namespace tvm_gnn_cost::tir {

// A program that the native reader does not understand: Python's turn.
class NotUnderstood : public std::runtime_error {
 public:
  explicit NotUnderstood(const std::string& what) : std::runtime_error(what) {}
};

struct Types {
  // Raises ffi::MissingError for a type or a field that TVM has not.
  explicit Types(const ffi::Library& library);

  // Type indices; `buffer` is -1 where buffers are variables.
  std::int32_t function, for_loop, sequence, if_then_else, block_realize, block, integer, variable, cast;
  std::int32_t add, subtract, multiply, floor_divide, floor_modulo, logical_and, less, less_equal, greater, greater_equal;
  std::int32_t store, evaluate, buffer, op;

  ffi::Field function_body;
  ffi::Field loop_variable, loop_extent, loop_kind, loop_body, loop_thread, loop_annotations;
  ffi::Field sequence_items, then_case, else_case;
  ffi::Field realize_values, realize_predicate, realize_block;
  ffi::Field block_axes, block_reads, block_writes, block_name, block_matches, block_annotations, block_init, block_body;
  ffi::Field region_buffer;
  ffi::Field axis_variable, axis_domain, axis_kind, axis_thread, range_min, range_extent;
  ffi::Field integer_value, cast_value, left, right;  // left, right: of every binary expression
  bool has_wide_integers;                             // an integer may be as long as it wants to

  // The name of a buffer, which in TVM 0.25 is no variable.
  ffi::Field variable_name, buffer_name;
  std::string_view name_of(ffi::Address variable) const {
    return ffi::text((ffi::type_of(variable) == buffer ? buffer_name : variable_name).value(variable));
  }

  // The value of an IntImm. Raises NotUnderstood for another expression, and for a number that 64 bits do not hold.
  std::int64_t number(ffi::Address expression) const;
};

}  // namespace tvm_gnn_cost::tir
