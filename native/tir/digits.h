// What part of an axis each loop runs over: TIR's index expressions as sums of digits of the loops. The counterpart of
// tvm_gnn_cost/meta_schedule/tir/digits.py and indices.py.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

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

// Sums of digits that a predicate keeps below a bound.
class Limits {
 public:
  void clear() { bounds_.clear(); }
  // The bound of a sum of these digits, or `none`.
  std::int64_t of(const std::vector<Digit>& digits, std::int64_t none) const;
  // The sum of the digits is less than the bound. Replaces an earlier bound.
  void set(const std::vector<Digit>& digits, std::int64_t bound);
  // Takes over the bounds of others, in place of its own of the same sums.
  void update(const Limits& others) {
    for (const auto& [digits, bound] : others.bounds_) set(digits, bound);
  }
  bool empty() const { return bounds_.empty(); }

 private:
  std::vector<std::pair<std::vector<Digit>, std::int64_t>> bounds_;  // of sorted digits
};

Index add(const Index& a, const Index& b, std::int64_t sign = 1);
Index scaled(const Index& a, std::int64_t factor);
// What a predicate or the size of the axis leaves of it: at most so many values. The outermost digits give way.
Index capped(Index a, std::int64_t values);
// The value of an axis of so many values, under a predicate.
Index within(Index index, std::int64_t extent, const Limits& limits);
// What digits of axes are of the loops: `values` are the axes' own indices.
Index composed(const std::vector<Digit>& outer, const std::vector<Index>& values, const Limits& limits);

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
// Adds what a block's predicate keeps below a bound.
void add_limits(const Types& types, ffi::Address predicate, const Values& values, Limits& limits);

}  // namespace tvm_gnn_cost::tir
