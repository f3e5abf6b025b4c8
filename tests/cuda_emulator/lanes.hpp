#pragma once

// How an operation on single values becomes an operation on the lanes of a warp. lanes<float(float,
// float)>(f) is the function that calls f(op, a, b) for every active lane, with sources and result
// read and written as the types say. Narrow values are read from the low bits of their word and
// written with their extension.

#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "tests/cuda_emulator/program.hpp"
#include "tests/cuda_emulator/warp.hpp"

namespace sqf {

struct Bit {  // a predicate
  bool value;
};

template <class T>
T get(const uint32_t* slot, unsigned lane) {
  if constexpr (std::is_same_v<T, Bit>) {
    return Bit{((slot[0] >> lane) & 1) != 0};
  } else if constexpr (sizeof(T) == 8) {
    T value;
    std::memcpy(&value, slot + 2 * lane, 8);
    return value;
  } else if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<float>(slot[lane]);
  } else {
    return static_cast<T>(slot[lane]);
  }
}

template <class T>
void put(uint32_t* slot, unsigned lane, T value) {
  if constexpr (std::is_same_v<T, Bit>) {
    slot[0] = (slot[0] & ~(1u << lane)) | (static_cast<uint32_t>(value.value) << lane);
  } else if constexpr (sizeof(T) == 8) {
    std::memcpy(slot + 2 * lane, &value, 8);
  } else if constexpr (std::is_same_v<T, float>) {
    slot[lane] = std::bit_cast<uint32_t>(value);
  } else {
    slot[lane] = static_cast<uint32_t>(value);
  }
}

template <class F>
void each_lane(uint32_t active, F&& f) {
  if (active == 0xffffffff) {
    for (unsigned lane = 0; lane < 32; lane++) f(lane);
  } else {
    for (; active != 0; active &= active - 1) f(static_cast<unsigned>(std::countr_zero(active)));
  }
}

template <class Signature>
struct Lanes;

template <class R, class... A>
struct Lanes<R(A...)> {
  template <class F>
  static void run(Warp& warp, const Op& op) {
    uint32_t* out = warp.slot(op.dst[0]);
    [&]<size_t... I>(std::index_sequence<I...>) {
      const uint32_t* in[] = {warp.slot(op.src[I])..., nullptr};
      each_lane(warp.active,
                [&](unsigned lane) { put<R>(out, lane, F{}(op, get<A>(in[I], lane)...)); });
    }
    (std::index_sequence_for<A...>{});
  }
};

template <class Signature, class F>
constexpr Run lanes(F) {
  static_assert(std::is_empty_v<F>, "a lambda: nothing is kept of it but its type");
  return &Lanes<Signature>::template run<F>;
}

}  // namespace sqf
