#pragma once
// The loops behind LaneKernels, for any rounding. Rounding<W> rounds W lanes to the levels of one
// kind of grid; what it holds is in units of the grid: t = (w - minimum) / scale. Its members:
//   Rounding(const LaneGrid&, int lane)       lanes [lane, lane + W)
//   Float scale, inverse, minimum             inverse 0 where the scale is
//   set_scale(Float)
//   round(Float t, Float* p)                  the nearest level
//   code(Float t, Float p, Int* code)         and its code
// Included by the files that make kernels, and by nothing else.

#include <algorithm>
#include <cfloat>
#include <cstring>

#include "converter/methods/lanes.hpp"

namespace sqf {
namespace {

// Adding and taking away 1.5 * 2^23 rounds to an integer, ties to even, below 2^22.
constexpr float kRound = 12582912.0f;
// Sums run over this many columns before they join the total: less rounding in long groups.
constexpr int64_t kBlock = 64;

template <int W>
struct Vector {
  typedef float Float __attribute__((vector_size(W * 4)));
  typedef int32_t Int __attribute__((vector_size(W * 4)));
  typedef int16_t Short __attribute__((vector_size(W * 2)));
  typedef uint8_t Byte __attribute__((vector_size(W)));
};

template <int W>
[[gnu::always_inline]] inline void load_lanes(const Lanes& from, int lane,
                                              typename Vector<W>::Float* to) {
  std::memcpy(to, from.at.data() + lane, sizeof *to);
}

/// W lanes at a time. Everything is pulled whole into the entry points below, which set
/// the instruction set: nothing compiled for a wide CPU can be linked into a narrow one's path.
template <template <int> class Rounding, int W>
struct Loops {
  using Float = typename Vector<W>::Float;
  using Int = typename Vector<W>::Int;
  using Short = typename Vector<W>::Short;
  using Byte = typename Vector<W>::Byte;
  using Grid = Rounding<W>;

  [[gnu::always_inline]] static inline void load(const float* from, Float* to) {
    std::memcpy(to, from, sizeof(Float));
  }
  [[gnu::always_inline]] static inline void store(const Float& from, Lanes* to, int lane) {
    std::memcpy(to->at.data() + lane, &from, sizeof(Float));
  }

  [[gnu::always_inline]] static inline void bounds(const float* x, int64_t size, Lanes* low,
                                                   Lanes* high) {
    for (int lane = 0; lane < kTileRows; lane += W) {
      Float lo, hi, v;
      load(x + lane, &lo);
      hi = lo;
      for (int64_t k = 1; k < size; k++) {
        load(x + k * kTileRows + lane, &v);
        lo = v < lo ? v : lo;
        hi = v > hi ? v : hi;
      }
      store(lo, low, lane);
      store(hi, high, lane);
    }
  }

  [[gnu::always_inline]] static inline void error_at(const float* x, const float* weight,
                                                     int64_t size, const Grid& grid, int lane,
                                                     Float* total) {
    Float v, p;
    *total = Float{};
    for (int64_t first = 0; first < size; first += kBlock) {
      const int64_t end = std::min(first + kBlock, size);
      Float sum = {};
      for (int64_t k = first; k < end; k++) {
        load(x + k * kTileRows + lane, &v);
        const Float t = (v - grid.minimum) * grid.inverse;
        grid.round(t, &p);
        const Float off = t - p;
        sum += off * off * weight[k];
      }
      *total += sum;
    }
  }

  [[gnu::always_inline]] static inline void error(const float* x, const float* weight, int64_t size,
                                                  const LaneGrid& lanes, Lanes* out) {
    for (int lane = 0; lane < kTileRows; lane += W) {
      Float total;
      error_at(x, weight, size, Grid(lanes, lane), lane, &total);
      store(total, out, lane);
    }
  }

  [[gnu::always_inline]] static inline void scan(const float* x, const float* weight, int64_t size,
                                                 const LaneGrid& lanes,
                                                 std::span<const float> factors, Lanes* error_out,
                                                 Lanes* factor_out) {
    for (int lane = 0; lane < kTileRows; lane += W) {
      Grid grid(lanes, lane);
      const Float scale = grid.scale;
      Float least = Float{} + FLT_MAX, best = Float{} + 1.0f, total;
      for (size_t i = 0; i < factors.size(); i++) {
        const Float factor = Float{} + factors[i];
        grid.set_scale(scale * factor);
        error_at(x, weight, size, grid, lane, &total);
        total *= factor * factor;
        best = total < least ? factor : best;
        least = total < least ? total : least;
      }
      store(least, error_out, lane);
      store(best, factor_out, lane);
    }
  }

  [[gnu::always_inline]] static inline void sums(const float* x, const float* weight, int64_t size,
                                                 const LaneGrid& lanes, LaneSums* out) {
    for (int lane = 0; lane < kTileRows; lane += W) {
      const Grid grid(lanes, lane);
      Float error = {}, t_sum = {}, p_sum = {}, tp_sum = {}, pp_sum = {}, v, p;
      for (int64_t first = 0; first < size; first += kBlock) {
        const int64_t end = std::min(first + kBlock, size);
        Float e = {}, st = {}, sp = {}, stp = {}, spp = {};
        for (int64_t k = first; k < end; k++) {
          load(x + k * kTileRows + lane, &v);
          const Float t = (v - grid.minimum) * grid.inverse;
          grid.round(t, &p);
          const Float off = t - p, weighted = p * weight[k];
          e += off * off * weight[k];
          st += t * weight[k];
          sp += weighted;
          stp += t * weighted;
          spp += p * weighted;
        }
        error += e;
        t_sum += st;
        p_sum += sp;
        tp_sum += stp;
        pp_sum += spp;
      }
      store(error, &out->error, lane);
      store(t_sum, &out->t, lane);
      store(p_sum, &out->p, lane);
      store(tp_sum, &out->tp, lane);
      store(pp_sum, &out->pp, lane);
    }
  }

  [[gnu::always_inline]] static inline void encode(const float* x, int64_t size,
                                                   const LaneGrid& lanes, uint8_t* codes,
                                                   LaneLoss* loss) {
    for (int lane = 0; lane < kTileRows; lane += W) {
      const Grid grid(lanes, lane);
      const Float none = {};
      Float error = {}, energy = {}, v, p;
      for (int64_t first = 0; first < size; first += kBlock) {
        const int64_t end = std::min(first + kBlock, size);
        Float lost = {}, there = {};
        for (int64_t k = first; k < end; k++) {
          load(x + k * kTileRows + lane, &v);
          const Float t = grid.scale != none ? (v - grid.minimum) / grid.scale : none;
          grid.round(t, &p);
          const Float off = (v - (grid.scale * p + grid.minimum)) * grid.inverse;
          const Float length = v * grid.inverse;
          lost += off * off;
          there += length * length;
          Int whole;
          grid.code(t, p, &whole);
          const Short half = __builtin_convertvector(whole, Short);  // in one step GCC goes scalar
          const Byte code = __builtin_convertvector(half, Byte);
          std::memcpy(codes + k * kTileRows + lane, &code, sizeof code);
        }
        error += lost;
        energy += there;
      }
      store(error, &loss->error, lane);
      store(energy, &loss->energy, lane);
    }
  }
};

// Four lanes is what every x86-64 and ARMv8 has.
template <template <int> class Rounding>
struct Four {
  static void bounds(const float* x, int64_t size, Lanes* low, Lanes* high) {
    Loops<Rounding, 4>::bounds(x, size, low, high);
  }
  static void error(const float* x, const float* weight, int64_t size, const LaneGrid& grid,
                    Lanes* error) {
    Loops<Rounding, 4>::error(x, weight, size, grid, error);
  }
  static void scan(const float* x, const float* weight, int64_t size, const LaneGrid& grid,
                   std::span<const float> factors, Lanes* error, Lanes* factor) {
    Loops<Rounding, 4>::scan(x, weight, size, grid, factors, error, factor);
  }
  static void sums(const float* x, const float* weight, int64_t size, const LaneGrid& grid,
                   LaneSums* sums) {
    Loops<Rounding, 4>::sums(x, weight, size, grid, sums);
  }
  static void encode(const float* x, int64_t size, const LaneGrid& grid, uint8_t* codes,
                     LaneLoss* loss) {
    Loops<Rounding, 4>::encode(x, size, grid, codes, loss);
  }
};

#ifdef __x86_64__
template <template <int> class Rounding>
struct Eight {
  [[gnu::target("avx2")]] static void bounds(const float* x, int64_t size, Lanes* low,
                                             Lanes* high) {
    Loops<Rounding, 8>::bounds(x, size, low, high);
  }
  [[gnu::target("avx2")]] static void error(const float* x, const float* weight, int64_t size,
                                            const LaneGrid& grid, Lanes* error) {
    Loops<Rounding, 8>::error(x, weight, size, grid, error);
  }
  [[gnu::target("avx2")]] static void scan(const float* x, const float* weight, int64_t size,
                                           const LaneGrid& grid, std::span<const float> factors,
                                           Lanes* error, Lanes* factor) {
    Loops<Rounding, 8>::scan(x, weight, size, grid, factors, error, factor);
  }
  [[gnu::target("avx2")]] static void sums(const float* x, const float* weight, int64_t size,
                                           const LaneGrid& grid, LaneSums* sums) {
    Loops<Rounding, 8>::sums(x, weight, size, grid, sums);
  }
  [[gnu::target("avx2")]] static void encode(const float* x, int64_t size, const LaneGrid& grid,
                                             uint8_t* codes, LaneLoss* loss) {
    Loops<Rounding, 8>::encode(x, size, grid, codes, loss);
  }
};

template <template <int> class Rounding>
struct Sixteen {
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static void bounds(const float* x,
                                                                           int64_t size, Lanes* low,
                                                                           Lanes* high) {
    Loops<Rounding, 16>::bounds(x, size, low, high);
  }
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static void error(
      const float* x, const float* weight, int64_t size, const LaneGrid& grid, Lanes* error) {
    Loops<Rounding, 16>::error(x, weight, size, grid, error);
  }
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static void scan(
      const float* x, const float* weight, int64_t size, const LaneGrid& grid,
      std::span<const float> factors, Lanes* error, Lanes* factor) {
    Loops<Rounding, 16>::scan(x, weight, size, grid, factors, error, factor);
  }
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static void sums(
      const float* x, const float* weight, int64_t size, const LaneGrid& grid, LaneSums* sums) {
    Loops<Rounding, 16>::sums(x, weight, size, grid, sums);
  }
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static void encode(
      const float* x, int64_t size, const LaneGrid& grid, uint8_t* codes, LaneLoss* loss) {
    Loops<Rounding, 16>::encode(x, size, grid, codes, loss);
  }
};
#endif

template <typename K>
constexpr LaneKernels kernels_of(const char* name) {
  return {name, K::bounds, K::error, K::scan, K::sums, K::encode};
}

/// All that are compiled, the widest last; kernel_count() says how many of them this CPU runs.
#ifdef __x86_64__
template <template <int> class Rounding>
constexpr LaneKernels kKernels[] = {kernels_of<Four<Rounding>>("4 lanes"),
                                    kernels_of<Eight<Rounding>>("8 lanes"),
                                    kernels_of<Sixteen<Rounding>>("16 lanes")};
#else
template <template <int> class Rounding>
constexpr LaneKernels kKernels[] = {kernels_of<Four<Rounding>>("4 lanes")};
#endif

}  // namespace

size_t kernel_count();

}  // namespace sqf
