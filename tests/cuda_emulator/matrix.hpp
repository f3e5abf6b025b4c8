#pragma once
// What the warp-wide matrix instructions of PTX do: mma.sync, ldmatrix, stmatrix, as functions of
// one warp's registers. It knows no memory, no divergence and no PTX text but the name of an mma.
//
// Integers and bits are exact, and wrap or saturate as the instruction says. Floating point is one
// of the results a device may give: the manual leaves order, rounding and subnormal inputs open,
// and FP8 sums on hardware keep fewer bits than f32 has. Here products are rounded to f32 (exact
// but for bf16 and tf32 out of its range) and added to the accumulator in ascending k, each sum
// rounded to nearest; f16 accumulators are rounded once, at the end. What is tested with it needs a
// bound, not bits. A NaN result is the canonical one.

#include <cstdint>
#include <span>
#include <string_view>

namespace sqf {

/// One mma.sync.aligned. `a` to `d`: 32-bit registers per thread. `run` takes and gives
/// [register][lane]; d may overlap a, b and c.
struct MatrixInstruction {
  std::string_view suffix;  // what follows "mma.sync.aligned."
  int a, b, c, d;
  void (*run)(const uint32_t (*a)[32], const uint32_t (*b)[32], const uint32_t (*c)[32],
              uint32_t (*d)[32]);
};

std::span<const MatrixInstruction> mma_instructions();

/// Null: not one of them.
const MatrixInstruction* find_mma(std::string_view suffix);

/// ldmatrix.sync.aligned.m8n8.x`matrices`{.trans}.b16: 1, 2 or 4 matrices of 8 rows of 16 bytes.
/// The address of row r of matrix m is that of lane 8 m + r; addresses of further lanes are not
/// looked at.
void ldmatrix(const uint8_t* const rows[32], int matrices, bool transposed, uint32_t (*d)[32]);

/// The same the other way.
void stmatrix(uint8_t* const rows[32], int matrices, bool transposed, const uint32_t (*s)[32]);

}  // namespace sqf
