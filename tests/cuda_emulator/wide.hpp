#pragma once

// Integers of 128 bits for products and carries of 64.

#include <cstdint>
#include <type_traits>

namespace sqf {

__extension__ typedef __int128 Wide;
__extension__ typedef unsigned __int128 UnsignedWide;

template <class T>
using Unsigned = std::make_unsigned_t<T>;

template <class T>
constexpr T wrapped(UnsignedWide value) {
  return static_cast<T>(static_cast<Unsigned<T>>(value));
}
template <class T>
constexpr UnsignedWide widened(T value) {
  return static_cast<UnsignedWide>(static_cast<Wide>(value));
}

}  // namespace sqf
