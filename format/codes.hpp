#pragma once
// What a single code stands for: its value on the grids that have a table or a formula of their
// own, the integer that integer kernels take in its place, and the codes that stand for nothing.

#include <array>
#include <cstdint>
#include <optional>

#include "format/layout.hpp"

namespace sqf {

/// The five formats of the OCP specifications: the one list of their parameters.
struct OcpFormat {
  uint8_t exponent_bits, mantissa_bits;
  int32_t bias;
};
inline constexpr std::array<OcpFormat, 5> kOcpFormats = {
    {{5, 2, 15}, {4, 3, 7}, {3, 2, 3}, {2, 3, 1}, {2, 1, 1}}};

/// A minifloat code without its scale; subnormal where the exponent field is 0.
float minifloat_value(const EncodingRecord& encoding, uint32_t code);

/// Whether the code may occur: not NaN or infinity of an OCP format, not past the last level.
/// Precondition: code < code_count(encoding).
bool code_has_value(const EncodingRecord& encoding, uint32_t code);

/// Whether every code below code_count() may occur.
bool all_codes_have_values(const EncodingRecord& encoding);

/// By code: the integer that it stands for, before the zero point of the affine grid is taken off.
using IntegerLevels = std::array<int32_t, 256>;

/// Nothing where codes do not stand for integers that row sums are defined for: the real grid, and
/// minifloats and level tables with integers outside -128..127 or values that are none.
std::optional<IntegerLevels> integer_levels(const EncodingRecord& encoding);

}  // namespace sqf
