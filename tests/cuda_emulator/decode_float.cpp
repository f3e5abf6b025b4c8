#include <algorithm>
#include <limits>

#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// Arithmetic of f32 and f64. The approximate functions of the hardware are computed in double and
// rounded once: a kernel that is right only by the hardware's own last bits is not right.

namespace sqf {
namespace {

template <class T>
T no_number() {
  return std::is_same_v<T, float> ? static_cast<T>(float_of(0x7fffffff))
                                  : static_cast<T>(std::numeric_limits<double>::quiet_NaN());
}

template <class T>
T flushed(T value) {
  return std::fabs(value) < std::numeric_limits<T>::min() ? std::copysign(T{0}, value) : value;
}

/// F on values that are flushed and saturated as the instruction says.
template <class T, class F>
struct Modified {
  static T in(const Op& op, T value) { return op.flush ? flushed(value) : value; }
  static T out(const Op& op, T value) {
    if (std::isnan(value)) return op.saturate ? T{0} : no_number<T>();
    if (op.flush) value = flushed(value);
    return op.saturate ? std::clamp(value, T{0}, T{1}) : value;
  }
  T operator()(const Op& op, T a) const { return out(op, F{}(op, in(op, a))); }
  T operator()(const Op& op, T a, T b) const { return out(op, F{}(op, in(op, a), in(op, b))); }
  T operator()(const Op& op, T a, T b, T c) const {
    return out(op, F{}(op, in(op, a), in(op, b), in(op, c)));
  }
};

template <class F>
constexpr Run real_1(F) {
  return &Lanes<float(float)>::run<Modified<float, F>>;
}
template <class F>
constexpr Run real_2(F) {
  return &Lanes<float(float, float)>::run<Modified<float, F>>;
}
template <class F>
constexpr Run real_3(F) {
  return &Lanes<float(float, float, float)>::run<Modified<float, F>>;
}
template <class F>
constexpr Run double_1(F) {
  return &Lanes<double(double)>::run<Modified<double, F>>;
}
template <class F>
constexpr Run double_2(F) {
  return &Lanes<double(double, double)>::run<Modified<double, F>>;
}

using F = const Op&;

struct Arithmetic {  // the same operation in f32, in f32 with another rounding, and in f64
  Run single, directed, twofold;
};

bool nearest_only(Decoder& d, Type type) {
  if (type != Type::f64 || d.op.rounding == Rounding::nearest_even) return true;
  d.fail("f64 is rounded to nearest only");
  return false;
}

bool arithmetic(Decoder& d, const Arithmetic& runs, size_t sources) {
  d.op.rounding = d.take_rounding().value_or(Rounding::nearest_even);
  d.take_float_modifiers();
  const Type type = d.take_type();
  if (!nearest_only(d, type)) return true;
  const Run run = type == Type::f64                         ? runs.twofold
                  : d.op.rounding == Rounding::nearest_even ? runs.single
                                                            : runs.directed;
  if (sources == 1) return d.simple(run, type, {type});
  if (sources == 2) return d.simple(run, type, {type, type});
  return d.simple(run, type, {type, type, type});
}

/// The sum for a directed rounding. What cancels is -0 when rounding down.
double sum_of(F op, double a, double b) {
  const double sum = add_to_odd(a, b);
  const bool cancels = sum == 0 && std::signbit(a) != std::signbit(b);
  return cancels && op.rounding == Rounding::down ? -0.0 : sum;
}

double product(float a, float b) {
  return static_cast<double>(a) * static_cast<double>(b);
}

constexpr Arithmetic kAdd = {
    real_2([](F, float a, float b) { return a + b; }),
    real_2([](F op, float a, float b) { return to_f32(sum_of(op, a, b), op.rounding); }),
    double_2([](F, double a, double b) { return a + b; })};
constexpr Arithmetic kSubtract = {
    real_2([](F, float a, float b) { return a - b; }),
    real_2([](F op, float a, float b) { return to_f32(sum_of(op, a, -b), op.rounding); }),
    double_2([](F, double a, double b) { return a - b; })};
constexpr Arithmetic kMultiply = {
    real_2([](F, float a, float b) { return a * b; }),
    real_2([](F op, float a, float b) { return to_f32(product(a, b), op.rounding); }),
    double_2([](F, double a, double b) { return a * b; })};
constexpr Arithmetic kFused = {
    real_3([](F, float a, float b, float c) { return std::fma(a, b, c); }),
    real_3([](F op, float a, float b, float c) {
      return to_f32(sum_of(op, product(a, b), c), op.rounding);
    }),
    &Lanes<double(double, double, double)>::run<Modified<
        double, decltype([](F, double a, double b, double c) { return std::fma(a, b, c); })>>};
constexpr Arithmetic kDivide = {
    real_2([](F, float a, float b) { return a / b; }),
    real_2([](F op, float a, float b) { return to_f32(divide_to_odd(a, b), op.rounding); }),
    double_2([](F, double a, double b) { return a / b; })};
constexpr Arithmetic kReciprocal = {
    real_1([](F, float a) { return 1.0f / a; }),
    real_1([](F op, float a) { return to_f32(divide_to_odd(1.0, a), op.rounding); }),
    double_1([](F, double a) { return 1.0 / a; })};
constexpr Arithmetic kRoot = {
    real_1([](F, float a) { return std::sqrt(a); }),
    real_1([](F op, float a) { return to_f32(root_to_odd(a), op.rounding); }),
    double_1([](F, double a) { return std::sqrt(a); })};

float of_double(double value) {
  return static_cast<float>(value);
}

bool approximate(Decoder& d, Run single, Run twofold = nullptr, size_t sources = 1) {
  if (!d.take("approx")) return d.fail(".approx is missing");
  d.take_float_modifiers();
  const Type type = d.take_type();
  const Run run = type == Type::f64 ? twofold : single;
  if (run == nullptr) return d.refuse(type);
  return sources == 1 ? d.simple(run, type, {type}) : d.simple(run, type, {type, type});
}

bool divide(Decoder& d) {
  if (d.first() == "full") {
    d.take("full");
    d.take_float_modifiers();
    return d.simple(kDivide.single, d.take_type(), {Type::f32, Type::f32});
  }
  if (d.first() == "approx") return approximate(d, kDivide.single, nullptr, 2);
  return arithmetic(d, kDivide, 2);
}

bool reciprocal(Decoder& d) {
  if (d.first() == "approx") return approximate(d, kReciprocal.single, kReciprocal.twofold);
  return arithmetic(d, kReciprocal, 1);
}

bool root(Decoder& d) {
  if (d.first() == "approx") return approximate(d, kRoot.single);
  return arithmetic(d, kRoot, 1);
}

template <class T>
T extreme(F op, T a, T b, bool most) {
  bool negative = false;
  if (op.relu) {  // .xorsign.abs
    negative = std::signbit(a) != std::signbit(b);
    a = std::fabs(a);
    b = std::fabs(b);
  }
  if (std::isnan(a) || std::isnan(b)) {
    if (op.nan || (std::isnan(a) && std::isnan(b))) return no_number<T>();
    const T number = std::isnan(a) ? b : a;
    return negative ? -number : number;
  }
  const bool a_less = a < b || (a == b && std::signbit(a));
  const T chosen = a_less == most ? b : a;
  return negative ? -chosen : chosen;
}

bool extremes(Decoder& d, bool most) {
  d.op.flush = d.take("ftz");
  d.op.nan = d.take("NaN");
  if (d.take("xorsign")) {
    d.op.relu = true;
    if (!d.take("abs")) return d.fail(".abs is missing");
  }
  const Type type = d.take_type();
  const Run single = most ? real_2([](F op, float a, float b) { return extreme(op, a, b, true); })
                          : real_2([](F op, float a, float b) { return extreme(op, a, b, false); });
  const Run twofold =
      most ? double_2([](F op, double a, double b) { return extreme(op, a, b, true); })
           : double_2([](F op, double a, double b) { return extreme(op, a, b, false); });
  return d.simple(type == Type::f64 ? twofold : single, type, {type, type});
}

bool signs(Decoder& d, bool magnitude) {
  d.op.flush = d.take("ftz");
  const Type type = d.take_type();
  if (type == Type::f64) {
    return d.simple(magnitude ? lanes<double(double)>([](F, double a) { return std::fabs(a); })
                              : lanes<double(double)>([](F, double a) { return -a; }),
                    type, {type});
  }
  return d.simple(
      magnitude
          ? lanes<float(float)>([](F op, float a) { return std::fabs(op.flush ? flush(a) : a); })
          : lanes<float(float)>([](F op, float a) { return -(op.flush ? flush(a) : a); }),
      type, {type});
}

bool copy_sign(Decoder& d) {
  const Type type = d.take_type();
  const Run run =
      type == Type::f64
          ? lanes<double(double, double)>([](F, double a, double b) { return std::copysign(b, a); })
          : lanes<float(float, float)>([](F, float a, float b) { return std::copysign(b, a); });
  return d.simple(run, type, {type, type});
}

template <class T>
bool property(F op, T a) {
  switch (op.mode) {
    case 0:
      return std::isfinite(a);
    case 1:
      return std::isinf(a);
    case 2:
      return !std::isnan(a);
    case 3:
      return std::isnan(a);
    case 4:
      return std::isnormal(a);
    default:
      return std::fpclassify(a) == FP_SUBNORMAL;
  }
}

bool test_property(Decoder& d) {
  static constexpr std::string_view kNames[] = {"finite",     "infinite", "number",
                                                "notanumber", "normal",   "subnormal"};
  const std::string name = d.take_first();
  const auto found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found == std::end(kNames)) return d.fail("unknown modifier '." + name + "'");
  d.op.mode = static_cast<uint8_t>(found - std::begin(kNames));
  const Type type = d.take_type();
  const Run run = type == Type::f64
                      ? lanes<Bit(double)>([](F op, double a) { return Bit{property(op, a)}; })
                      : lanes<Bit(float)>([](F op, float a) { return Bit{property(op, a)}; });
  return d.simple(run, Type::pred, {type});
}

bool hyperbolic(Decoder& d) {
  return approximate(d, real_1([](F, float a) { return of_double(std::tanh(double{a})); }));
}

}  // namespace

bool decode_float(Decoder& d) {
  const std::string& name = d.in().opcode;
  const Type type = d.last_type();
  if (type != Type::f32 && type != Type::f64) return false;
  d.op.op_class = OpClass::real;
  if (name == "add") return arithmetic(d, kAdd, 2);
  if (name == "sub") return arithmetic(d, kSubtract, 2);
  if (name == "mul") return arithmetic(d, kMultiply, 2);
  if (name == "fma" || name == "mad") return arithmetic(d, kFused, 3);
  if (name == "div") return divide(d);
  if (name == "rcp") return reciprocal(d);
  if (name == "sqrt") return root(d);
  if (name == "min") return extremes(d, false);
  if (name == "max") return extremes(d, true);
  if (name == "abs") return signs(d, true);
  if (name == "neg") return signs(d, false);
  if (name == "copysign") return copy_sign(d);
  if (name == "testp") return test_property(d);
  if (name == "tanh") return hyperbolic(d);
  if (name == "rsqrt") {
    return approximate(d, real_1([](F, float a) { return of_double(1.0 / std::sqrt(double{a})); }),
                       double_1([](F, double a) { return 1.0 / std::sqrt(a); }));
  }
  if (name == "ex2") {
    return approximate(d, real_1([](F, float a) { return of_double(std::exp2(double{a})); }));
  }
  if (name == "lg2") {
    return approximate(d, real_1([](F, float a) { return of_double(std::log2(double{a})); }));
  }
  if (name == "sin") {
    return approximate(d, real_1([](F, float a) { return of_double(std::sin(double{a})); }));
  }
  if (name == "cos") {
    return approximate(d, real_1([](F, float a) { return of_double(std::cos(double{a})); }));
  }
  return false;
}

}  // namespace sqf
