#pragma once
// A block of the prefill kernels: its shared memory, and what is known of a part when it is
// compiled.

#include "cuda/kernels/prefill.cuh"

namespace sqf {

template <int Width, Values Grid, bool Integer, int Blocks>
__device__ void prefill_grid(const MatmulArguments& a, const PlanePlace* places) {
  extern __shared__ __align__(128) uint8_t prefill_memory[];
  __shared__ StepParameters parameters[Width == 16 ? 1 : 2];
  __shared__ float factors[Width == 16 ? 1 : kPrefillThreads];
  Prefill<Width, Grid, Integer, Blocks> p(a, prefill_memory);
  p.parameters = parameters;
  p.factors = factors;
  p.tiles.places = places + p.lane.lane;
  p.run();
}

/// Grid of fixed widths; any planes and real values see for themselves.
template <int Width, Values Grid, bool Integer, int Blocks>
__device__ void prefill(const MatmulArguments& a) {
  if constexpr (Width == 16) {
    if (a.part.values == Values::bf16)
      prefill_grid<Width, Values::bf16, Integer, Blocks>(a, nullptr);
    else
      prefill_grid<Width, Values::f16, Integer, Blocks>(a, nullptr);
  } else if constexpr (Width != kAnyPlanes) {
    prefill_grid<Width, Grid, Integer, Blocks>(a, nullptr);
  } else {
    __shared__ PlanePlace places[kDevicePlanes * 32];
    place_planes(a.part, places);
    if constexpr (!Integer) {
      if (a.part.values == Values::table)
        return prefill_grid<Width, Values::table, Integer, Blocks>(a, places);
      if (a.part.values == Values::minifloat)
        return prefill_grid<Width, Values::minifloat, Integer, Blocks>(a, places);
    }
    prefill_grid<Width, Values::affine, Integer, Blocks>(a, places);
  }
}

}  // namespace sqf

// One name for each form; the host (cuda/part_kernels.cpp) has the same. f16 operands of 128 tokens
// take more registers than two blocks on a multiprocessor have.
#define SQF_PREFILL(name, width, grid, integer, blocks)                            \
  extern "C" __global__ void __launch_bounds__(32 * sqf::kPrefillWarps,            \
                                               width == 16 && blocks == 8 ? 1 : 2) \
      name(const __grid_constant__ sqf::MatmulArguments a) {                       \
    sqf::prefill<width, sqf::Values::grid, integer, blocks>(a);                    \
  }
