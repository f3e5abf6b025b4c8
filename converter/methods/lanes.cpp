#include "converter/methods/lanes.hpp"

#include "converter/methods/lane_loops.hpp"

namespace sqf {
namespace {

/// Codes less a zero point.
template <int W>
struct Integers {
  using Float = typename Vector<W>::Float;
  using Int = typename Vector<W>::Int;

  Float scale, inverse, zero, minimum, least, most;

  [[gnu::always_inline]] inline Integers(const LaneGrid& grid, int lane) {
    load_lanes<W>(grid.scale, lane, &scale);
    load_lanes<W>(grid.zero, lane, &zero);
    load_lanes<W>(grid.minimum, lane, &minimum);
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
  [[gnu::always_inline]] inline void round(const Float& t, Float* p) const {
    *p = t < least ? least : t;
    *p = *p > most ? most : *p;
    *p = (*p + kRound) - kRound;
  }
  [[gnu::always_inline]] inline void code(const Float&, const Float& p, Int* code) const {
    *code = __builtin_convertvector(p + zero, Int);
  }
};

}  // namespace

size_t kernel_count() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return 3;
  return __builtin_cpu_supports("avx2") ? 2 : 1;
#else
  return 1;
#endif
}

std::span<const LaneKernels> lane_kernels() {
  return std::span(kKernels<Integers>).first(kernel_count());
}

}  // namespace sqf
