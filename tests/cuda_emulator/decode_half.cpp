#include <algorithm>

#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"

// Arithmetic of f16 and bf16, alone and in pairs: exact in double (sums rounded to odd there), then
// rounded once.

namespace sqf {
namespace {

bool is_f16(Type type) {
  return type == Type::f16 || type == Type::f16x2;
}
bool is_pair(Type type) {
  return type == Type::f16x2 || type == Type::bf16x2;
}

template <bool kF16>
double value_of(const Op& op, uint32_t bits) {
  const double value = kF16 ? from_f16(bits) : from_bf16(bits);
  constexpr double kLeast = kF16 ? 0x1p-14 : 0x1p-126;
  return op.flush && std::fabs(value) < kLeast ? std::copysign(0.0, value) : value;
}

template <bool kF16>
uint32_t bits_of_half(const Op& op, double value) {
  if (std::isnan(value)) return op.saturate ? 0 : 0x7fff;
  if (op.saturate) value = std::clamp(value, 0.0, 1.0);
  if (op.relu && !(value > 0)) value = 0;
  constexpr double kLeast = kF16 ? 0x1p-14 : 0x1p-126;
  if (op.flush && std::fabs(value) < kLeast) value = std::copysign(0.0, value);
  return kF16 ? to_f16(value) : to_bf16(value);
}

/// F on one value or on both of a pair.
template <class F>
struct Halves {
  template <bool kF16, class... A>
  static uint32_t of(const Op& op, A... sources) {
    const uint32_t low = bits_of_half<kF16>(op, F{}(op, value_of<kF16>(op, sources & 0xffff)...));
    if (!is_pair(op.type)) return low;
    return low | bits_of_half<kF16>(op, F{}(op, value_of<kF16>(op, sources >> 16)...)) << 16;
  }
  template <class... A>
  uint32_t operator()(const Op& op, A... sources) const {
    return is_f16(op.type) ? of<true>(op, sources...) : of<false>(op, sources...);
  }
};

template <class F>
constexpr Run half_1(F) {
  return &Lanes<uint32_t(uint32_t)>::run<Halves<F>>;
}
template <class F>
constexpr Run half_2(F) {
  return &Lanes<uint32_t(uint32_t, uint32_t)>::run<Halves<F>>;
}
template <class F>
constexpr Run half_3(F) {
  return &Lanes<uint32_t(uint32_t, uint32_t, uint32_t)>::run<Halves<F>>;
}

bool finish(Decoder& d, Run run, size_t sources) {
  const Type type = d.take_type();
  d.op.type = type;
  if (sources == 1) return d.simple(run, type, {type});
  if (sources == 2) return d.simple(run, type, {type, type});
  return d.simple(run, type, {type, type, type});
}

bool arithmetic_of_halves(Decoder& d, Run run, size_t sources) {
  if (d.take_rounding().value_or(Rounding::nearest_even) != Rounding::nearest_even) {
    return d.fail("only .rn is supported here");
  }
  d.take_float_modifiers();
  d.op.relu = d.take("relu");
  return finish(d, run, sources);
}

double extreme_of(const Op& op, double a, double b, bool most) {
  bool negative = false;
  if (op.mode == 1) {  // .xorsign.abs
    negative = std::signbit(a) != std::signbit(b);
    a = std::fabs(a);
    b = std::fabs(b);
  }
  if (std::isnan(a) || std::isnan(b)) {
    if (op.nan || (std::isnan(a) && std::isnan(b))) return std::nan("");
    return std::copysign(std::isnan(a) ? b : a, negative ? -1.0 : std::isnan(a) ? b : a);
  }
  const bool a_less = a < b || (a == b && std::signbit(a));
  const double chosen = a_less == most ? b : a;
  return negative ? -chosen : chosen;
}

bool extreme_halves(Decoder& d, bool most) {
  d.op.flush = d.take("ftz");
  d.op.nan = d.take("NaN");
  if (d.take("xorsign")) {
    d.op.mode = 1;
    if (!d.take("abs")) return d.fail(".abs is missing");
  }
  return finish(
      d,
      most ? half_2([](const Op& op, double a, double b) { return extreme_of(op, a, b, true); })
           : half_2([](const Op& op, double a, double b) { return extreme_of(op, a, b, false); }),
      2);
}

bool sign_bits(Decoder& d, bool magnitude) {
  d.op.flush = d.take("ftz");
  if (d.op.flush) {
    return finish(d,
                  magnitude ? half_1([](const Op&, double a) { return std::fabs(a); })
                            : half_1([](const Op&, double a) { return -a; }),
                  1);
  }
  return finish(d,
                magnitude ? lanes<uint32_t(uint32_t)>([](const Op& op, uint32_t a) {
                  return a & (is_pair(op.type) ? 0x7fff7fffu : 0x7fffu);
                })
                          : lanes<uint32_t(uint32_t)>([](const Op& op, uint32_t a) {
                              return a ^ (is_pair(op.type) ? 0x80008000u : 0x8000u);
                            }),
                1);
}

bool function_of_halves(Decoder& d, Run run) {
  if (!d.take("approx")) return d.fail(".approx is missing");
  d.op.flush = d.take("ftz");
  return finish(d, run, 1);
}

}  // namespace

bool decode_half(Decoder& d) {
  const std::string& name = d.in().opcode;
  const Type type = d.last_type();
  if (!is_f16(type) && type != Type::bf16 && type != Type::bf16x2) return false;
  d.op.op_class = OpClass::half;
  using F = const Op&;
  if (name == "add") {
    return arithmetic_of_halves(d, half_2([](F, double a, double b) { return add_to_odd(a, b); }),
                                2);
  }
  if (name == "sub") {
    return arithmetic_of_halves(d, half_2([](F, double a, double b) { return add_to_odd(a, -b); }),
                                2);
  }
  if (name == "mul") {
    return arithmetic_of_halves(d, half_2([](F, double a, double b) { return a * b; }), 2);
  }
  if (name == "fma") {
    return arithmetic_of_halves(
        d, half_3([](F, double a, double b, double c) { return add_to_odd(a * b, c); }), 3);
  }
  if (name == "min") return extreme_halves(d, false);
  if (name == "max") return extreme_halves(d, true);
  if (name == "abs") return sign_bits(d, true);
  if (name == "neg") return sign_bits(d, false);
  if (name == "ex2") return function_of_halves(d, half_1([](F, double a) { return std::exp2(a); }));
  if (name == "tanh")
    return function_of_halves(d, half_1([](F, double a) { return std::tanh(a); }));
  return false;
}

}  // namespace sqf
