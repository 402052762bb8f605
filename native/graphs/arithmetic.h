// Arithmetic as the Python specification has it: what is an exception there (a division by zero, the logarithm of
// nothing, the ceiling of infinity) is a ScheduleError here, and so is an integer that 64 bits do not hold.
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace tvm_gnn_cost {

// A schedule that makes no sense.
class ScheduleError : public std::runtime_error {
 public:
  explicit ScheduleError(const std::string& what) : std::runtime_error(what) {}
};

// log2(1 + x): how every size enters a feature.
inline double log2p(double x) {
  const double y = 1.0 + x;
  if (y <= 0.0) throw ScheduleError("logarithm of a number that is not positive");
  return std::log2(y);
}

inline double divide(double a, double b) {
  if (b == 0.0) throw ScheduleError("division by zero");
  return a / b;
}

// a / b; of nothing, which has extents of 0, there is nothing: a.
inline double ratio(double a, double b) { return b != 0.0 ? a / b : a; }

// ceil(x)
inline double ceiling(double x) {
  if (!std::isfinite(x)) throw ScheduleError("a size that is not finite");
  return std::ceil(x);
}

// a // b for positive numbers, with the rounding of CPython's float_floor_div.
inline double floor_divide(double a, double b) {
  if (b == 0.0) throw ScheduleError("division by zero");
  const double quotient = (a - std::fmod(a, b)) / b;
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1.0 : floor;
}

inline std::int64_t add(std::int64_t a, std::int64_t b) {
  std::int64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) throw ScheduleError("a sum of extents is out of bounds");
  return sum;
}

inline std::int64_t multiply(std::int64_t a, std::int64_t b) {
  std::int64_t product;
  if (__builtin_mul_overflow(a, b, &product)) throw ScheduleError("a product of extents is out of bounds");
  return product;
}

// a / b, rounded up, for a >= 0.
inline std::int64_t ceil_divide(std::int64_t a, std::int64_t b) {
  if (b <= 0) throw ScheduleError("division by zero");
  return a / b + (a % b != 0 ? 1 : 0);
}

}  // namespace tvm_gnn_cost
