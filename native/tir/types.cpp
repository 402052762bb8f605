#include "tir/types.h"

namespace tvm_gnn_cost::tir {

namespace {

constexpr std::int64_t kPointer = 8, kText = 16, kEnumeration = 4;

}  // namespace

Types::Types(const ffi::Library& library) {
  const auto type = [&](std::initializer_list<const char*> keys) -> const ffi::TypeInfo& { return library.type(keys); };
  const auto pointer = [&](const ffi::TypeInfo& info, std::initializer_list<const char*> names) {
    return library.field(info, names, kPointer);
  };

  const ffi::TypeInfo& info_function = type({"tirx.PrimFunc"});
  function = info_function.type_index;
  function_body = pointer(info_function, {"body"});

  const ffi::TypeInfo& info_loop = type({"tirx.For"});
  for_loop = info_loop.type_index;
  loop_variable = pointer(info_loop, {"loop_var"});
  loop_extent = pointer(info_loop, {"extent"});
  loop_kind = library.field(info_loop, {"kind"}, kEnumeration);
  loop_body = pointer(info_loop, {"body"});
  loop_thread = pointer(info_loop, {"thread_binding"});
  loop_annotations = pointer(info_loop, {"annotations"});

  const ffi::TypeInfo &info_sequence = type({"tirx.SeqStmt"}), &info_if = type({"tirx.IfThenElse"});
  sequence = info_sequence.type_index;
  sequence_items = pointer(info_sequence, {"seq"});
  if_then_else = info_if.type_index;
  then_case = pointer(info_if, {"then_case"});
  else_case = pointer(info_if, {"else_case"});

  const ffi::TypeInfo& info_realize = type({"s_tir.SBlockRealize", "tirx.SBlockRealize"});
  block_realize = info_realize.type_index;
  realize_values = pointer(info_realize, {"iter_values"});
  realize_predicate = pointer(info_realize, {"predicate"});
  realize_block = pointer(info_realize, {"block"});

  const ffi::TypeInfo& info_block = type({"s_tir.SBlock", "tirx.SBlock"});
  block = info_block.type_index;
  block_axes = pointer(info_block, {"iter_vars"});
  block_reads = pointer(info_block, {"reads"});
  block_writes = pointer(info_block, {"writes"});
  block_name = library.field(info_block, {"name_hint"}, kText);
  block_matches = pointer(info_block, {"match_buffers"});
  block_annotations = pointer(info_block, {"annotations"});
  block_init = pointer(info_block, {"init"});
  block_body = pointer(info_block, {"body"});

  region_buffer = pointer(type({"ir.TensorRegion", "tirx.BufferRegion"}), {"source", "buffer"});
  const ffi::TypeInfo &info_axis = type({"tirx.IterVar"}), &info_range = type({"ir.Range"});
  axis_variable = pointer(info_axis, {"var"});
  axis_domain = pointer(info_axis, {"dom"});
  axis_kind = library.field(info_axis, {"iter_type"}, kEnumeration);
  axis_thread = library.field(info_axis, {"thread_tag"}, kText);
  range_min = pointer(info_range, {"min"});
  range_extent = pointer(info_range, {"extent"});

  const ffi::TypeInfo& info_integer = type({"ir.IntImm"});
  integer = info_integer.type_index;
  has_wide_integers = false;
  ffi::for_each_field(info_integer, [&](const ffi::FieldInfo& field) {
    if (ffi::view(field.name) == "value") has_wide_integers = field.size == sizeof(ffi::Value);
  });
  integer_value = library.field(info_integer, {"value"}, has_wide_integers ? sizeof(ffi::Value) : sizeof(std::int64_t));

  const ffi::TypeInfo& info_variable = type({"ir.Var", "tirx.Var"});
  variable = info_variable.type_index;
  variable_name = library.field(info_variable, {"name"}, kText);
  const ffi::TypeInfo& info_cast = type({"prim.Cast", "tirx.Cast"});
  cast = info_cast.type_index;
  cast_value = pointer(info_cast, {"value"});

  const auto binary = [&](std::int32_t& index, const char* now, const char* before) {
    const ffi::TypeInfo& info = type({now, before});
    const ffi::Field a = pointer(info, {"a"}), b = pointer(info, {"b"});
    if (left.offset >= 0 && (a.offset != left.offset || b.offset != right.offset)) {
      throw ffi::MissingError("the operands of TVM's type " + std::string(ffi::view(info.key)) + " lie elsewhere");
    }
    left = a;
    right = b;
    index = info.type_index;
  };
  binary(add, "prim.Add", "tirx.Add");
  binary(subtract, "prim.Sub", "tirx.Sub");
  binary(multiply, "prim.Mul", "tirx.Mul");
  binary(floor_divide, "prim.FloorDiv", "tirx.FloorDiv");
  binary(floor_modulo, "prim.FloorMod", "tirx.FloorMod");
  binary(logical_and, "prim.And", "tirx.And");
  binary(less, "prim.LT", "tirx.LT");
  binary(less_equal, "prim.LE", "tirx.LE");
  binary(greater, "prim.GT", "tirx.GT");
  binary(greater_equal, "prim.GE", "tirx.GE");

  store = type({"tirx.BufferStore"}).type_index;
  evaluate = type({"tirx.Evaluate"}).type_index;
  buffer = library.find_type({"tirx.Buffer"});
  if (buffer >= 0) buffer_name = library.field(type({"tirx.Buffer"}), {"name"}, kText);
  op = type({"ir.Op"}).type_index;
}

std::int64_t Types::number(ffi::Address expression) const {
  if (ffi::type_of(expression) != integer) throw NotUnderstood("where a loop or an axis begins or ends is no number");
  if (!has_wide_integers) return *reinterpret_cast<const std::int64_t*>(expression + integer_value.offset);
  const ffi::Value& value = integer_value.value(expression);
  if (value.type_index != ffi::kInt) throw NotUnderstood("a number has more than 64 bits");
  return value.integer;
}

}  // namespace tvm_gnn_cost::tir
