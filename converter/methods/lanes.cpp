#include "converter/methods/lanes.hpp"

#include <algorithm>
#include <cfloat>
#include <cstring>

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

/// The loops, W lanes at a time. Everything is pulled whole into the entry points below, which set
/// the instruction set: nothing compiled for a wide CPU can be linked into a narrow one's path.
template <int W>
struct Loops {
  using Float = typename Vector<W>::Float;
  using Int = typename Vector<W>::Int;
  using Short = typename Vector<W>::Short;
  using Byte = typename Vector<W>::Byte;

  [[gnu::always_inline]] static inline void load(const float* from, Float* to) {
    std::memcpy(to, from, sizeof(Float));
  }
  [[gnu::always_inline]] static inline void store(const Float& from, Lanes* to, int lane) {
    std::memcpy(to->at.data() + lane, &from, sizeof(Float));
  }

  struct Grid {
    Float scale, inverse, zero, minimum, least, most;

    [[gnu::always_inline]] inline Grid(const LaneGrid& grid, int lane) {
      load(grid.scale.at.data() + lane, &scale);
      load(grid.zero.at.data() + lane, &zero);
      load(grid.minimum.at.data() + lane, &minimum);
      const Float none = {};
      least = none - zero;
      most = grid.top - zero;
      set_scale(scale);
    }
    [[gnu::always_inline]] inline void set_scale(const Float& to) {
      const Float none = {};
      scale = to;
      inverse = scale != none ? 1.0f / scale : none;
    }
    /// The level that t rounds to.
    [[gnu::always_inline]] inline void round(const Float& t, Float* p) const {
      *p = t < least ? least : t;
      *p = *p > most ? most : *p;
      *p = (*p + kRound) - kRound;
    }
  };

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
          p += grid.zero;
          const Int whole = __builtin_convertvector(p, Int);
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
struct Four {
  static void bounds(const float* x, int64_t size, Lanes* low, Lanes* high) {
    Loops<4>::bounds(x, size, low, high);
  }
  static void error(const float* x, const float* weight, int64_t size, const LaneGrid& grid,
                    Lanes* error) {
    Loops<4>::error(x, weight, size, grid, error);
  }
  static void scan(const float* x, const float* weight, int64_t size, const LaneGrid& grid,
                   std::span<const float> factors, Lanes* error, Lanes* factor) {
    Loops<4>::scan(x, weight, size, grid, factors, error, factor);
  }
  static void sums(const float* x, const float* weight, int64_t size, const LaneGrid& grid,
                   LaneSums* sums) {
    Loops<4>::sums(x, weight, size, grid, sums);
  }
  static void encode(const float* x, int64_t size, const LaneGrid& grid, uint8_t* codes,
                     LaneLoss* loss) {
    Loops<4>::encode(x, size, grid, codes, loss);
  }
};

#ifdef __x86_64__
struct Eight {
  [[gnu::target("avx2")]] static void bounds(const float* x, int64_t size, Lanes* low,
                                             Lanes* high) {
    Loops<8>::bounds(x, size, low, high);
  }
  [[gnu::target("avx2")]] static void error(const float* x, const float* weight, int64_t size,
                                            const LaneGrid& grid, Lanes* error) {
    Loops<8>::error(x, weight, size, grid, error);
  }
  [[gnu::target("avx2")]] static void scan(const float* x, const float* weight, int64_t size,
                                           const LaneGrid& grid, std::span<const float> factors,
                                           Lanes* error, Lanes* factor) {
    Loops<8>::scan(x, weight, size, grid, factors, error, factor);
  }
  [[gnu::target("avx2")]] static void sums(const float* x, const float* weight, int64_t size,
                                           const LaneGrid& grid, LaneSums* sums) {
    Loops<8>::sums(x, weight, size, grid, sums);
  }
  [[gnu::target("avx2")]] static void encode(const float* x, int64_t size, const LaneGrid& grid,
                                             uint8_t* codes, LaneLoss* loss) {
    Loops<8>::encode(x, size, grid, codes, loss);
  }
};

struct Sixteen {
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static void bounds(const float* x,
                                                                           int64_t size, Lanes* low,
                                                                           Lanes* high) {
    Loops<16>::bounds(x, size, low, high);
  }
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static void error(
      const float* x, const float* weight, int64_t size, const LaneGrid& grid, Lanes* error) {
    Loops<16>::error(x, weight, size, grid, error);
  }
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static void scan(
      const float* x, const float* weight, int64_t size, const LaneGrid& grid,
      std::span<const float> factors, Lanes* error, Lanes* factor) {
    Loops<16>::scan(x, weight, size, grid, factors, error, factor);
  }
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static void sums(
      const float* x, const float* weight, int64_t size, const LaneGrid& grid, LaneSums* sums) {
    Loops<16>::sums(x, weight, size, grid, sums);
  }
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] static void encode(
      const float* x, int64_t size, const LaneGrid& grid, uint8_t* codes, LaneLoss* loss) {
    Loops<16>::encode(x, size, grid, codes, loss);
  }
};
#endif

template <typename K>
constexpr LaneKernels kernels_of(const char* name) {
  return {name, K::bounds, K::error, K::scan, K::sums, K::encode};
}

#ifdef __x86_64__
constexpr LaneKernels kKernels[] = {kernels_of<Four>("4 lanes"), kernels_of<Eight>("8 lanes"),
                                    kernels_of<Sixteen>("16 lanes")};
size_t supported() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return 3;
  return __builtin_cpu_supports("avx2") ? 2 : 1;
}
#else
constexpr LaneKernels kKernels[] = {kernels_of<Four>("4 lanes")};
size_t supported() {
  return 1;
}
#endif

}  // namespace

std::span<const LaneKernels> lane_kernels() {
  static const size_t count = supported();
  return {kKernels, count};
}

}  // namespace sqf
