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

bool has_backwards(const std::vector<Digit>& digits) {
  return std::any_of(digits.begin(), digits.end(), [](const Digit& digit) { return digit.scale < 0; });
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

// How many values there are, up to the bound that a predicate has.
std::int64_t total(const Index& a, const Limits& limits) {
  const Limits::Bounds* const bounds = limits.of(a.digits);
  return bounds == nullptr ? a.span() : std::min(a.span(), bounds->high);
}

// What is left of it where it has at most so many values. An estimate gets as many as it should have: the outermost loop
// that it has a digit of makes up the difference.
Index fitted(Index a, std::int64_t values) {
  const bool exact = a.exact;
  Index index = capped(std::move(a), values);
  std::vector<Digit>& digits = index.digits;
  if (exact || digits.empty() || has_backwards(digits)) return index;
  const auto outermost = std::max_element(digits.begin(), digits.end(),
                                          [](const Digit& x, const Digit& y) { return x.scale < y.scale; });
  const Digit first = *outermost;
  const auto place = outermost - digits.begin();
  digits.erase(outermost);
  const std::int64_t rest = tvm_gnn_cost::add(values, multiply(-1, index.span()));
  if (rest < 0) {
    digits.insert(digits.begin() + place, first);
    return index;
  }
  const std::int64_t steps = rest / first.scale, left = rest % first.scale;
  const std::int64_t beyond = multiply(first.divisor, first.extent);
  if (steps != 0) {
    digits.insert(digits.begin(), {first.source, first.divisor, tvm_gnn_cost::add(steps, 1), first.scale});
  }
  if (left != 0) digits.push_back({first.source, beyond, tvm_gnn_cost::add(left, 1), 1});
  return index;
}

Index divided(const Index& a, std::int64_t by, const Limits& limits) {
  if (by <= 0) return Index::unknown();
  Split parts = split(a, by);
  return fitted({std::move(parts.high), floor_divide(a.constant, by), parts.exact},
                ceiling_divide(total(a, limits), by));
}

Index remainder(const Index& a, std::int64_t by, const Limits& limits) {
  if (by <= 0) return Index::unknown();
  Split parts = split(a, by);
  return fitted({std::move(parts.low), floor_modulo(a.constant, by), parts.exact}, std::min(by, total(a, limits)));
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

const Limits::Bounds* Limits::of(const std::vector<Digit>& digits) const {
  if (known_.empty()) return nullptr;
  const std::vector<Digit> wanted = sorted(digits);
  for (const auto& [known, bounds] : known_) {
    if (equal(known, wanted)) return &bounds;
  }
  return nullptr;
}

Limits::Bounds& Limits::at(const std::vector<Digit>& digits) {
  Index sum{sorted(digits), 0, true};
  for (auto& [known, bounds] : known_) {
    if (equal(known, sum.digits)) return bounds;
  }
  const Bounds all{0, sum.span()};
  return known_.emplace_back(std::move(sum.digits), all).second;
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
  if (a.span() <= values || has_backwards(a.digits)) return a;
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
  return a;
}

Index within(Index index, std::int64_t extent, const Limits& limits) {
  const Limits::Bounds* const known = limits.of(index.digits);
  const Limits::Bounds bounds = known == nullptr ? Limits::Bounds{0, extent} : *known;
  const std::int64_t between = tvm_gnn_cost::add(bounds.high, multiply(-1, bounds.low));
  const std::int64_t values = std::min(extent, std::max<std::int64_t>(1, between));
  return capped(std::move(index), values);
}

Index composed(const std::vector<Digit>& outer, const std::vector<Index>& values,
               const std::vector<Variable>& variables, const Limits& limits) {
  Index result;
  for (const Digit& digit : outer) {
    if (digit.source < 0 || static_cast<std::size_t>(digit.source) >= values.size()) {
      throw NotUnderstood("a dimension of a variable that the block has not");
    }
    Index value = values[static_cast<std::size_t>(digit.source)];
    if (digit.divisor > 1) value = divided(value, digit.divisor, limits);
    const std::int64_t extent = variables[static_cast<std::size_t>(digit.source)].extent;
    if (multiply(digit.divisor, digit.extent) < extent) value = remainder(value, digit.extent, limits);
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
      continue;
    }
    const bool strictly = type == types.less || type == types.greater;
    const bool upwards = type == types.less || type == types.less_equal;  // the left side is the lesser one
    if (!upwards && type != types.greater && type != types.greater_equal) continue;
    Index less = index_of(types, types.left.object(condition), values, none);
    Index more = index_of(types, types.right.object(condition), values, none);
    if (!upwards) std::swap(less, more);
    if (!less.exact || !more.exact || less.digits.empty() == more.digits.empty()) continue;
    const bool is_above = less.digits.empty();
    Limits::Bounds& bounds = found.at(is_above ? more.digits : less.digits);
    const auto difference = [](std::int64_t a, std::int64_t b) { return tvm_gnn_cost::add(a, multiply(-1, b)); };
    if (is_above) {
      bounds.low = std::max(bounds.low, tvm_gnn_cost::add(difference(less.constant, more.constant), strictly ? 1 : 0));
    } else {
      bounds.high = std::min(bounds.high, tvm_gnn_cost::add(difference(more.constant, less.constant), strictly ? 0 : 1));
    }
  }
  limits.update(found);
}

}  // namespace tvm_gnn_cost::tir
