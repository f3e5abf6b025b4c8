#pragma once

// The element types of PTX and the state spaces, by name. A type that is not here is refused by
// name where it is met.

#include <cstdint>
#include <string_view>

namespace sqf {

enum class Type : uint8_t {
  none,
  pred,
  b8,
  u8,
  s8,
  b16,
  u16,
  s16,
  f16,
  bf16,
  u8x4,
  s8x4,
  e4m3x2,
  e5m2x2,
  b32,
  u32,
  s32,
  f32,
  tf32,
  f16x2,
  bf16x2,
  u16x2,
  s16x2,
  b64,
  u64,
  s64,
  f64,
};

enum class Space : uint8_t { generic, global, shared, local, constant, parameter };

Type type_named(std::string_view name);  // without the dot; none where unknown
std::string_view name_of(Type type);
int bytes_of(Type type);
bool is_float(Type type);    // one floating-point number
bool is_signed(Type type);   // one signed integer
bool is_integer(Type type);  // one integer or untyped bits

}  // namespace sqf
