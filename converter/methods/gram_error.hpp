#pragma once
// What rounding one group costs its partial dot products with the calibration inputs: d^T G d, d
// what each row's weights are off and G the inputs' Gram matrix over the group's columns. In f64,
// columns in order, one lane per row: the same bits on every CPU.

#include <array>
#include <cstdint>
#include <span>

#include "converter/methods/range.hpp"

namespace sqf {

using LaneErrors = std::array<double, kTileRows>;

/// off [size][16], gram [size][size], of which the lower triangle is read.
struct GramForm {
  const float* gram;
  const double* off;
  int64_t size;
  double* error;  ///< [16]
};

/// All that this CPU runs, the widest last.
using GramKernel = void (*)(const GramForm&);
std::span<const GramKernel> gram_kernels();

/// Of the group's weights as `grid` rounds them; group.gram must be there. Not below 0.
LaneErrors gram_errors(const LaneGroup& group, const LaneGrid& grid);

/// The scale that fits the codes of `grid` best, as a multiple of its own; 1 where none does.
LaneErrors best_multiples(const LaneGroup& group, const LaneGrid& grid);

}  // namespace sqf
