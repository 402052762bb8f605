#include "tir/digits.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "graphs/arithmetic.h"

namespace tvm_gnn_cost::tir {

namespace {

constexpr int kDeepestExpression = 400;

auto key(const Digit& digit) { return std::tie(digit.source, digit.divisor, digit.extent, digit.scale); }

bool same_place(const Digit& a, const Digit& b) {
  return a.source == b.source && a.divisor == b.divisor && a.extent == b.extent;
}

// a // b of b > 0, rounded down.
std::int64_t floor_divide(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }
std::int64_t floor_modulo(std::int64_t a, std::int64_t b) { return a - floor_divide(a, b) * b; }
// a / b of b > 0, rounded up.
std::int64_t ceiling_divide(std::int64_t a, std::int64_t b) { return -floor_divide(-a, b); }

std::int64_t magnitude(std::int64_t scale) { return scale < 0 ? multiply(-1, scale) : scale; }

std::vector<Digit> sorted(std::vector<Digit> digits) {
  std::sort(digits.begin(), digits.end(), [](const Digit& a, const Digit& b) { return key(a) < key(b); });
  const auto equal = [](const Digit& a, const Digit& b) { return key(a) == key(b); };
  digits.erase(std::unique(digits.begin(), digits.end(), equal), digits.end());
  return digits;
}

bool equal(const std::vector<Digit>& a, const std::vector<Digit>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Digit& x, const Digit& y) { return key(x) == key(y); });
}

// Appends a digit to those before it: digits of the same place of the same loop add up.
void join(std::vector<Digit>& digits, const Digit& digit) {
  for (Digit& known : digits) {
    if (!same_place(known, digit)) continue;
    known.scale = tvm_gnn_cost::add(known.scale, digit.scale);
    return;
  }
  digits.push_back(digit);
}

void drop_zeros(std::vector<Digit>& digits) {
  digits.erase(std::remove_if(digits.begin(), digits.end(), [](const Digit& digit) { return digit.scale == 0; }),
               digits.end());
}

struct Split {
  std::vector<Digit> high, low;  // the digits of a // by, those of a % by
  bool exact;
};

Split split(const Index& a, std::int64_t by) {
  Split result{{}, {}, a.exact};
  std::int64_t span = 1;  // of the low digits, before they are joined
  const auto push_low = [&](const Digit& digit) {
    span = tvm_gnn_cost::add(span, multiply(digit.extent - 1, magnitude(digit.scale)));
    join(result.low, digit);
  };
  for (const Digit& digit : a.digits) {
    const std::int64_t scale = magnitude(digit.scale);
    result.exact = result.exact && digit.scale >= 0;
    if (scale >= by) {
      result.exact = result.exact && scale % by == 0;
      const double ratio = static_cast<double>(scale) / static_cast<double>(by);
      const auto rounded = static_cast<std::int64_t>(std::floor(ratio + 0.5));
      join(result.high, {digit.source, digit.divisor, digit.extent, std::max<std::int64_t>(1, rounded)});
    } else if (multiply(scale, digit.extent) <= by) {
      push_low(digit);
    } else {
      const std::int64_t places = ceiling_divide(by, scale);
      const bool whole = by % scale == 0 && (digit.extent % places == 0 || digit.extent <= places);
      result.exact = result.exact && whole;
      push_low({digit.source, digit.divisor, std::min(digit.extent, places), digit.scale});
      const std::int64_t outer = ceiling_divide(digit.extent, places);
      if (outer > 1) join(result.high, {digit.source, multiply(digit.divisor, places), outer, 1});
    }
  }
  if (tvm_gnn_cost::add(span - 1, floor_modulo(a.constant, by)) >= by) result.exact = false;  // a carry
  drop_zeros(result.high);
  drop_zeros(result.low);
  return result;
}

Index divided(const Index& a, std::int64_t by, const Limits& limits) {
  if (by <= 0) return Index::unknown();
  Split parts = split(a, by);
  Index index{std::move(parts.high), floor_divide(a.constant, by), parts.exact};
  if (limits.empty()) return index;
  constexpr std::int64_t kNone = INT64_MAX;
  const std::int64_t bound = limits.of(a.digits, kNone);
  return bound == kNone ? index : capped(std::move(index), ceiling_divide(bound, by));
}

Index remainder(const Index& a, std::int64_t by, const Limits& limits) {
  if (by <= 0) return Index::unknown();
  Split parts = split(a, by);
  Index index{std::move(parts.low), floor_modulo(a.constant, by), parts.exact};
  return capped(std::move(index), std::min(by, limits.of(a.digits, by)));
}

Index find_index(const Types& types, ffi::Address expression, const Values& values, const Limits& limits, int depth) {
  if (depth > kDeepestExpression) throw NotUnderstood("an index is nested too deeply");
  const auto inner = [&](ffi::Address one) { return find_index(types, one, values, limits, depth + 1); };
  const std::int32_t type = ffi::type_of(expression);
  if (type == types.integer) return {{}, types.number(expression), true};
  if (type == types.variable) {
    const Index* const known = values.find(expression);
    return known == nullptr ? Index::unknown() : *known;
  }
  if (type == types.cast) return inner(types.cast_value.object(expression));
  const bool is_sum = type == types.add || type == types.subtract;
  if (!is_sum && type != types.multiply && type != types.floor_divide && type != types.floor_modulo) {
    return Index::unknown();
  }
  Index a = inner(types.left.object(expression)), b = inner(types.right.object(expression));
  if (is_sum) return add(a, b, type == types.add ? 1 : -1);
  if (type == types.multiply && a.digits.empty() && a.exact) std::swap(a, b);
  if (!b.digits.empty() || !b.exact) return Index::unknown();
  if (type == types.multiply) return scaled(a, b.constant);
  return type == types.floor_divide ? divided(a, b.constant, limits) : remainder(a, b.constant, limits);
}

}  // namespace

Index Index::of(std::int64_t source, std::int64_t extent) {
  Index index;
  if (extent > 1) index.digits.push_back({source, 1, extent, 1});
  return index;
}

std::int64_t Index::span() const {
  std::int64_t result = 1;
  for (const Digit& digit : digits) {
    result = tvm_gnn_cost::add(result, multiply(digit.extent - 1, magnitude(digit.scale)));
  }
  return result;
}

std::int64_t Limits::of(const std::vector<Digit>& digits, std::int64_t none) const {
  if (bounds_.empty()) return none;
  const std::vector<Digit> wanted = sorted(digits);
  for (const auto& [known, bound] : bounds_) {
    if (equal(known, wanted)) return bound;
  }
  return none;
}

void Limits::set(const std::vector<Digit>& digits, std::int64_t bound) {
  std::vector<Digit> wanted = sorted(digits);
  for (auto& [known, value] : bounds_) {
    if (equal(known, wanted)) {
      value = bound;
      return;
    }
  }
  bounds_.emplace_back(std::move(wanted), bound);
}

Index add(const Index& a, const Index& b, std::int64_t sign) {
  Index result{{}, tvm_gnn_cost::add(a.constant, multiply(sign, b.constant)), a.exact && b.exact};
  result.digits.reserve(a.digits.size() + b.digits.size());
  for (const Digit& digit : a.digits) join(result.digits, digit);
  for (Digit digit : b.digits) {
    digit.scale = multiply(sign, digit.scale);
    join(result.digits, digit);
  }
  drop_zeros(result.digits);
  return result;
}

Index scaled(const Index& a, std::int64_t factor) {
  Index result{{}, multiply(a.constant, factor), a.exact};
  if (factor == 0) return result;
  result.digits = a.digits;
  for (Digit& digit : result.digits) digit.scale = multiply(digit.scale, factor);
  return result;
}

Index capped(Index a, std::int64_t values) {
  const auto is_backwards = [](const Digit& digit) { return digit.scale < 0; };
  if (a.span() <= values || a.digits.empty() || std::any_of(a.digits.begin(), a.digits.end(), is_backwards)) return a;
  std::stable_sort(a.digits.begin(), a.digits.end(),
                   [](const Digit& x, const Digit& y) { return x.scale > y.scale; });  // outermost first
  std::size_t first = 0;
  for (; first < a.digits.size(); ++first) {
    Digit& digit = a.digits[first];
    const std::int64_t extent = std::min(digit.extent, ceiling_divide(values, digit.scale));
    if (extent > 1) {
      digit.extent = extent;
      break;
    }
  }
  a.digits.erase(a.digits.begin(), a.digits.begin() + static_cast<std::ptrdiff_t>(first));
  a.exact = a.exact && a.span() <= values;
  return a;
}

Index within(Index index, std::int64_t extent, const Limits& limits) {
  const std::int64_t values = std::min(extent, limits.of(index.digits, extent));
  return capped(std::move(index), values);
}

Index composed(const std::vector<Digit>& outer, const std::vector<Index>& values, const Limits& limits) {
  Index result;
  for (const Digit& digit : outer) {
    if (digit.source < 0 || static_cast<std::size_t>(digit.source) >= values.size()) {
      throw NotUnderstood("a dimension of a variable that the block has not");
    }
    Index value = values[static_cast<std::size_t>(digit.source)];
    if (digit.divisor > 1) value = divided(value, digit.divisor, limits);
    if (digit.divisor > 1 || value.span() > digit.extent) value = remainder(value, digit.extent, limits);
    result = add(result, scaled(value, digit.scale));
  }
  return result;
}

const Index* Values::find(ffi::Address variable) const {
  for (std::size_t i = known_.size(); i-- > 0;) {
    if (known_[i].first == variable) return &known_[i].second;
  }
  return nullptr;
}

Index index_of(const Types& types, ffi::Address expression, const Values& values, const Limits& limits) {
  return find_index(types, expression, values, limits, 0);
}

void add_limits(const Types& types, ffi::Address predicate, const Values& values, Limits& limits) {
  const Limits none;
  Limits found;
  std::vector<ffi::Address> stack{predicate};
  while (!stack.empty()) {
    const ffi::Address condition = stack.back();
    stack.pop_back();
    const std::int32_t type = ffi::type_of(condition);
    if (type == types.logical_and) {
      stack.push_back(types.left.object(condition));
      stack.push_back(types.right.object(condition));
    } else if (type == types.less || type == types.less_equal) {
      const Index left = index_of(types, types.left.object(condition), values, none);
      const Index right = index_of(types, types.right.object(condition), values, none);
      if (left.digits.empty() || !left.exact || !right.exact || !right.digits.empty()) continue;
      const std::int64_t bound = tvm_gnn_cost::add(tvm_gnn_cost::add(right.constant, multiply(-1, left.constant)),
                                                  type == types.less_equal ? 1 : 0);
      found.set(left.digits, std::min(bound, found.of(left.digits, bound)));
    }
  }
  limits.update(found);
}

}  // namespace tvm_gnn_cost::tir
