#pragma once
// Which element of which matrix a thread holds, as the PTX manual says it (9.7.14.5, "Matrix
// fragments for mma...", one formula per shape and operand, groupID = lane / 4, threadID_in_group =
// lane % 4), and matrices packed into registers by that: nothing here is shared with the
// implementation. Elements are counted as there: a0, a1, ... from the low bits of the first
// register on.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/cuda_emulator/matrix.hpp"

namespace sqf {

struct MatrixSpot {
  int row, col;
  bool operator==(const MatrixSpot&) const = default;
};

struct FragmentLayout {
  int bits, k;
  int a_elements, b_elements;  // per thread
  MatrixSpot (*a)(int group, int thread, int i);
  MatrixSpot (*b)(int group, int thread, int i);
};

std::span<const FragmentLayout> fragment_layouts();

/// That of c and d, in every shape.
inline MatrixSpot accumulator_spot(int lane, int i) {
  return {i < 2 ? lane / 4 : lane / 4 + 8, lane % 4 * 2 + (i & 1)};
}

/// Element types with some of their values. `one` is the pattern of 1.
struct ElementKind {
  std::string_view name;
  int bits;
  uint32_t one;
  std::vector<std::pair<uint32_t, double>> samples;  // pattern, value
};

const ElementKind* find_kind(std::string_view name);

/// What a suffix says.
struct NamedInstruction {
  const FragmentLayout* layout;
  const ElementKind *a, *b;
  std::string_view sum;  // "f32", "f16", "s32"
  bool satfinite, bitwise_xor;
  int accumulator_bits() const { return sum == "f16" ? 16 : 32; }
};

NamedInstruction parse_suffix(std::string_view suffix);

using Registers = std::vector<uint32_t>;  // [register][lane]

inline const uint32_t (*warp(const Registers& r))[32] {
  return reinterpret_cast<const uint32_t(*)[32]>(r.data());
}
inline uint32_t (*warp(Registers& r))[32] {
  return reinterpret_cast<uint32_t(*)[32]>(r.data());
}

/// Patterns [rows][columns] of a matrix into registers: `place` and `elements` of a layout.
Registers pack_fragments(const std::vector<uint32_t>& patterns, int columns, int bits, int elements,
                         MatrixSpot (*place)(int group, int thread, int i));

/// Patterns [16][8] of c or d, of 16 or 32 bits each.
Registers pack_accumulators(const std::vector<uint32_t>& patterns, int bits);
std::vector<uint32_t> unpack_accumulators(const Registers& registers, int bits);

/// What the instruction makes of a [16][k], b [k][8] and c [16][8], all as patterns.
std::vector<uint32_t> multiply_patterns(const MatrixInstruction& instruction,
                                        const std::vector<uint32_t>& a,
                                        const std::vector<uint32_t>& b,
                                        const std::vector<uint32_t>& c);

}  // namespace sqf
