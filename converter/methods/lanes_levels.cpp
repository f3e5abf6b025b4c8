#include "converter/methods/lane_loops.hpp"

namespace sqf {
namespace {

/// What both kinds of level tables have: scales that take the unit in.
template <int W>
struct UnitScale {
  using Float = typename Vector<W>::Float;
  using Int = typename Vector<W>::Int;

  Float scale, inverse, minimum = {};

  [[gnu::always_inline]] inline UnitScale(const LaneGrid& grid, int lane) {
    load_lanes<W>(grid.scale, lane, &scale);
    set_scale(scale * grid.levels->unit);
  }
  [[gnu::always_inline]] inline void set_scale(const Float& to) {
    const Float none = {};
    // What is no normal number cannot be divided by.
    const Float least = none + FLT_MIN;
    scale = (to < least) & (to > -least) ? none : to;
    inverse = scale != none ? 1.0f / scale : none;
  }
};

/// A short table: one comparison and one choice per level.
template <int W>
struct Levels : UnitScale<W> {
  using typename UnitScale<W>::Float;
  using typename UnitScale<W>::Int;

  const LevelGrid* levels;

  [[gnu::always_inline]] inline Levels(const LaneGrid& grid, int lane)
      : UnitScale<W>(grid, lane), levels(grid.levels) {}
  [[gnu::always_inline]] inline void round(const Float& t, Float* p) const {
    *p = Float{} + levels->level[0];
    for (size_t i = 1; i < static_cast<size_t>(levels->count); i++)
      *p = t > levels->above[i - 1] ? Float{} + levels->level[i] : *p;
  }
  [[gnu::always_inline]] inline void code(const Float& t, const Float&, Int* code) const {
    *code = Int{};
    for (size_t i = 0; i + 1 < static_cast<size_t>(levels->count); i++)
      *code -= t > levels->above[i];
  }
};

/// Rounds the bits of |t|: from the least normal on they are the magnitude's code, continued by
/// mantissa bits that a level does not have; below, levels are a step apart.
template <int W>
struct Minifloats : UnitScale<W> {
  using typename UnitScale<W>::Float;
  using typename UnitScale<W>::Int;

  Float top, step, inverse_step, least_normal;
  Int first_bits, sign;
  int32_t shift;

  [[gnu::always_inline]] inline Minifloats(const LaneGrid& grid, int lane)
      : UnitScale<W>(grid, lane) {
    const LevelGrid& levels = *grid.levels;
    top = Float{} + levels.top;
    step = Float{} + levels.step;
    inverse_step = Float{} + levels.inverse_step;
    least_normal = Float{} + levels.least_normal;
    first_bits = Int{} + levels.first_bits;
    sign = Int{} + levels.sign;
    shift = levels.shift;
  }
  /// |t| within the levels, and its bits counted from those of code 0, rounded half to even code;
  /// they mean something from the least normal on.
  [[gnu::always_inline]] inline void magnitude(const Float& t, Float* a, Int* rounded) const {
    const Int bits = (Int)t & 0x7fffffff;
    *a = (Float)bits;
    *a = *a < top ? *a : top;
    const Int from_first = (Int)(*a) - first_bits;
    *rounded = from_first + ((1 << (shift - 1)) - 1) + ((from_first >> shift) & 1);
  }
  [[gnu::always_inline]] inline void steps_of(const Float& a, Float* steps) const {
    *steps = a < least_normal ? a : least_normal;  // what is above does not count here
    *steps = (*steps * inverse_step + kRound) - kRound;
  }
  [[gnu::always_inline]] inline void round(const Float& t, Float* p) const {
    Float a, steps;
    Int rounded;
    magnitude(t, &a, &rounded);
    steps_of(a, &steps);
    const Int bits = (rounded >> shift << shift) + first_bits;
    const Float low = steps * step;
    const Float high = (Float)bits;
    const Float size = a < least_normal ? low : high;
    const Int signed_bits = (Int)size | ((Int)t & static_cast<int32_t>(0x80000000u));
    *p = (Float)signed_bits;
  }
  [[gnu::always_inline]] inline void code(const Float& t, const Float&, Int* code) const {
    Float a, steps;
    Int rounded;
    magnitude(t, &a, &rounded);
    steps_of(a, &steps);
    const Int low = __builtin_convertvector(steps, Int);
    *code = a < least_normal ? low : rounded >> shift;
    const Int none = {};
    *code += (t < Float{}) & (*code != none) ? sign : none;
  }
};

}  // namespace

std::span<const LaneKernels> lane_kernels(const LevelGrid& levels) {
  return std::span(levels.minifloat ? kKernels<Minifloats> : kKernels<Levels>)
      .first(kernel_count());
}

}  // namespace sqf
