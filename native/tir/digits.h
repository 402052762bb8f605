// What part of an axis each loop runs over: TIR's index expressions as sums of digits of the loops. The counterpart of
// tvm_gnn_cost/meta_schedule/tir/digits.py and indices.py.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "graphs/loops.h"
#include "graphs/span.h"
#include "tir/types.h"

namespace tvm_gnn_cost::tir {

// scale * (source // divisor % extent); `source` is a loop, or an axis of a block, by number.
struct Digit {
  std::int64_t source, divisor, extent, scale;
};

// sum(digits) + constant; where it is not exact, that is an estimate of where it moves.
struct Index {
  std::vector<Digit> digits;
  std::int64_t constant = 0;
  bool exact = true;

  static Index of(std::int64_t source, std::int64_t extent);
  static Index unknown() { return {{}, 0, false}; }
  // How many values lie between the least and the greatest, both included.
  std::int64_t span() const;
};

// Sums of digits that a predicate keeps between two bounds, the second excluded.
class Limits {
 public:
  struct Bounds {
    std::int64_t low, high;
  };

  void clear() { known_.clear(); }
  // Null for a sum without bounds.
  const Bounds* of(const std::vector<Digit>& digits) const;
  // The bounds of a sum of these digits, for reading and writing; those of all its values where it has none.
  Bounds& at(const std::vector<Digit>& digits);
  // Takes over the bounds of others, in place of its own of the same sums.
  void update(const Limits& others) {
    for (const auto& [digits, bounds] : others.known_) at(digits) = bounds;
  }

 private:
  std::vector<std::pair<std::vector<Digit>, Bounds>> known_;  // of sorted digits
};

Index add(const Index& a, const Index& b, std::int64_t sign = 1);
Index scaled(const Index& a, std::int64_t factor);
// What a predicate or the size of the axis leaves of it: at most so many values. The outermost digits give way.
Index capped(Index a, std::int64_t values);
// The value of an axis of so many values, under a predicate.
Index within(Index index, std::int64_t extent, const Limits& limits);
// A variable of a block, which moves `tile` elements at once, or of a loop in its body.
struct Variable {
  std::int64_t extent, tile;
  bool is_inside;
  Annotation inside;  // how the loop in the body runs
};

// What digits of variables are of the loops: `values` are the variables' own indices, as many.
Index composed(const std::vector<Digit>& outer, const std::vector<Index>& values,
               const std::vector<Variable>& variables, const Limits& limits);

// Indices of variables by their address.
class Values {
 public:
  void clear() { known_.clear(); }
  void set(ffi::Address variable, Index value) { known_.emplace_back(variable, std::move(value)); }
  // Null for a variable that is not known. The last value that was set counts.
  const Index* find(ffi::Address variable) const;

 private:
  std::vector<std::pair<ffi::Address, Index>> known_;
};

// The index of an expression over variables of known value; an estimate, where it is no sum of digits.
Index index_of(const Types& types, ffi::Address expression, const Values& values, const Limits& limits);
// Adds the bounds that a block's predicate has, where it compares sums of digits with numbers.
void add_limits(const Types& types, ffi::Address predicate, const Values& values, Limits& limits);

}  // namespace tvm_gnn_cost::tir
