#include <algorithm>

#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"
#include "tests/cuda_emulator/wide.hpp"

// Integer arithmetic. Overflow wraps; division by zero gives all ones, as the hardware does.

namespace sqf {
namespace {

template <class T>
struct Add {
  T operator()(const Op&, T a, T b) const {
    return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
  }
};
template <class T>
struct Subtract {
  T operator()(const Op&, T a, T b) const {
    return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b));
  }
};
template <class T>
struct MultiplyLow {
  T operator()(const Op&, T a, T b) const {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
};
template <class T>
struct MultiplyHigh {
  T operator()(const Op&, T a, T b) const {
    return wrapped<T>((widened(a) * widened(b)) >> (8 * sizeof(T)));
  }
};
template <class T>
struct MaddLow {
  T operator()(const Op&, T a, T b, T c) const {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b) +
                          static_cast<uint64_t>(c));
  }
};
template <class T>
struct MaddHigh {
  T operator()(const Op&, T a, T b, T c) const {
    return wrapped<T>(((widened(a) * widened(b)) >> (8 * sizeof(T))) + widened(c));
  }
};
template <class T>
struct Divide {
  T operator()(const Op&, T a, T b) const {
    if (b == 0) return static_cast<T>(~T{0});
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return static_cast<T>(0 - static_cast<Unsigned<T>>(a));
    }
    return static_cast<T>(a / b);
  }
};
template <class T>
struct Remainder {
  T operator()(const Op&, T a, T b) const {
    if (b == 0) return a;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    return static_cast<T>(a % b);
  }
};
template <class T>
struct Least {
  T operator()(const Op&, T a, T b) const { return std::min(a, b); }
};
template <class T>
struct Most {
  T operator()(const Op&, T a, T b) const { return std::max(a, b); }
};
template <class T>
struct AbsoluteDifference {
  T operator()(const Op&, T a, T b, T c) const {
    const auto high = static_cast<uint64_t>(std::max(a, b)),
               low = static_cast<uint64_t>(std::min(a, b));
    return static_cast<T>(static_cast<uint64_t>(c) + (high - low));
  }
};
template <class T>
struct Negate {
  T operator()(const Op&, T a) const { return static_cast<T>(0 - static_cast<Unsigned<T>>(a)); }
};
template <class T>
struct Magnitude {
  T operator()(const Op&, T a) const {
    return a < 0 ? static_cast<T>(0 - static_cast<Unsigned<T>>(a)) : a;
  }
};

template <class T, int kSources>
struct Shape;
template <class T>
struct Shape<T, 1> {
  using Signature = T(T);
};
template <class T>
struct Shape<T, 2> {
  using Signature = T(T, T);
};
template <class T>
struct Shape<T, 3> {
  using Signature = T(T, T, T);
};

template <template <class> class F, int kSources, class T>
Run run_as() {
  return &Lanes<typename Shape<T, kSources>::Signature>::template run<F<T>>;
}

template <template <class> class F, int kSources>
bool typed(Decoder& d, Type type) {
  Run run = nullptr;
  switch (type) {
    case Type::u16:
    case Type::b16:
      run = run_as<F, kSources, uint16_t>();
      break;
    case Type::s16:
      run = run_as<F, kSources, int16_t>();
      break;
    case Type::u32:
    case Type::b32:
      run = run_as<F, kSources, uint32_t>();
      break;
    case Type::s32:
      run = run_as<F, kSources, int32_t>();
      break;
    case Type::u64:
    case Type::b64:
      run = run_as<F, kSources, uint64_t>();
      break;
    case Type::s64:
      run = run_as<F, kSources, int64_t>();
      break;
    default:
      return d.refuse(type);
  }
  if (kSources == 1) return d.simple(run, type, {type});
  if (kSources == 2) return d.simple(run, type, {type, type});
  return d.simple(run, type, {type, type, type});
}

Type doubled(Type type) {
  switch (type) {
    case Type::u16:
      return Type::u32;
    case Type::s16:
      return Type::s32;
    case Type::u32:
      return Type::u64;
    case Type::s32:
      return Type::s64;
    default:
      return Type::none;
  }
}

template <class W, class T>
Run wide_product(bool add) {
  if (add) {
    return lanes<W(T, T, W)>([](const Op&, T a, T b, W c) {
      return static_cast<W>(static_cast<uint64_t>(static_cast<W>(a)) *
                                static_cast<uint64_t>(static_cast<W>(b)) +
                            static_cast<uint64_t>(c));
    });
  }
  return lanes<W(T, T)>([](const Op&, T a, T b) {
    return static_cast<W>(static_cast<uint64_t>(static_cast<W>(a)) *
                          static_cast<uint64_t>(static_cast<W>(b)));
  });
}

bool wide(Decoder& d, bool add) {
  const Type type = d.take_type(), out = doubled(type);
  const Run run = type == Type::u16   ? wide_product<uint32_t, uint16_t>(add)
                  : type == Type::s16 ? wide_product<int32_t, int16_t>(add)
                  : type == Type::u32 ? wide_product<uint64_t, uint32_t>(add)
                  : type == Type::s32 ? wide_product<int64_t, int32_t>(add)
                                      : nullptr;
  if (run == nullptr) return d.refuse(type);
  return add ? d.simple(run, out, {type, type, out}) : d.simple(run, out, {type, type});
}

int32_t clamped(int64_t value) {
  return static_cast<int32_t>(std::clamp<int64_t>(value, INT32_MIN, INT32_MAX));
}

bool add_or_subtract(Decoder& d, bool add) {
  const bool saturate = d.take("sat");
  const Type type = d.take_type();
  if (saturate) {
    if (type != Type::s32) return d.fail(".sat is for s32");
    return d.simple(add ? lanes<int32_t(int32_t, int32_t)>([](const Op&, int32_t a, int32_t b) {
                      return clamped(int64_t{a} + b);
                    })
                        : lanes<int32_t(int32_t, int32_t)>([](const Op&, int32_t a, int32_t b) {
                            return clamped(int64_t{a} - b);
                          }),
                    type, {type, type});
  }
  if (type == Type::u16x2 || type == Type::s16x2) {
    if (!add) return d.refuse(type);
    return d.simple(lanes<uint32_t(uint32_t, uint32_t)>([](const Op&, uint32_t a, uint32_t b) {
                      return ((a + b) & 0xffff) | ((a & 0xffff0000) + (b & 0xffff0000));
                    }),
                    type, {type, type});
  }
  return add ? typed<Add, 2>(d, type) : typed<Subtract, 2>(d, type);
}

bool multiply(Decoder& d) {
  if (d.take("wide")) return wide(d, false);
  if (d.take("hi")) return typed<MultiplyHigh, 2>(d, d.take_type());
  if (!d.take("lo")) return d.fail("one of .lo .hi .wide is missing");
  return typed<MultiplyLow, 2>(d, d.take_type());
}

bool multiply_add(Decoder& d) {
  if (d.take("wide")) return wide(d, true);
  const bool high = d.take("hi");
  if (!high && !d.take("lo")) return d.fail("one of .lo .hi .wide is missing");
  if (high) return typed<MaddHigh, 3>(d, d.take_type());
  return typed<MaddLow, 3>(d, d.take_type());
}

template <bool kMost>
uint32_t halves(const Op& op, uint32_t a, uint32_t b) {
  uint32_t out = 0;
  for (unsigned shift = 0; shift < 32; shift += 16) {
    const uint32_t x = (a >> shift) & 0xffff, y = (b >> shift) & 0xffff;
    const bool less =
        op.type == Type::s16x2 ? static_cast<int16_t>(x) < static_cast<int16_t>(y) : x < y;
    out |= (less == kMost ? y : x) << shift;
  }
  return out;
}

bool extreme(Decoder& d, bool most) {
  const Type type = d.take_type();
  if (type == Type::u16x2 || type == Type::s16x2) {
    d.op.type = type;
    return d.simple(
        most ? lanes<uint32_t(uint32_t, uint32_t)>(
                   [](const Op& op, uint32_t a, uint32_t b) { return halves<true>(op, a, b); })
             : lanes<uint32_t(uint32_t, uint32_t)>(
                   [](const Op& op, uint32_t a, uint32_t b) { return halves<false>(op, a, b); }),
        type, {type, type});
  }
  return most ? typed<Most, 2>(d, type) : typed<Least, 2>(d, type);
}

}  // namespace

bool decode_integer(Decoder& d) {
  const std::string& name = d.in().opcode;
  const Type type = d.last_type();
  if (!is_integer(type) && type != Type::u16x2 && type != Type::s16x2) return false;
  d.op.op_class = OpClass::integer;
  if (name == "add") return add_or_subtract(d, true);
  if (name == "sub") return add_or_subtract(d, false);
  if (name == "mul") return multiply(d);
  if (name == "mad") return multiply_add(d);
  if (name == "div") return typed<Divide, 2>(d, d.take_type());
  if (name == "rem") return typed<Remainder, 2>(d, d.take_type());
  if (name == "min") return extreme(d, false);
  if (name == "max") return extreme(d, true);
  if (name == "sad") return typed<AbsoluteDifference, 3>(d, d.take_type());
  if (name == "neg") return typed<Negate, 1>(d, d.take_type());
  if (name == "abs") return typed<Magnitude, 1>(d, d.take_type());
  return false;
}

}  // namespace sqf
