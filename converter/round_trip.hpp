#pragma once
// What rounding makes of a tensor and of the activation that it reads, back in the coordinates of
// the source: how searches try a choice out without writing it. Refuses what encode_tensor does.

#include <span>
#include <vector>

#include "converter/input_choices.hpp"

namespace sqf {

/// The weights that a tensor stands for once it is folded, rounded and unfolded: w [N][K]. Rounded
/// to nearest and without its low-rank pair: the choice does not depend on what is done about its
/// errors afterwards.
Result<void> round_trip(const Plan& plan, std::span<const InputChoice> choices,
                        const TensorPlan& tensor, int threads, std::vector<float>* w);

/// What the readers see of x [tokens][K]: smoothed, rounded, and unfolded again.
void round_input(const InputPlan& plan, const InputChoice& choice, int64_t tokens, float* x);

}  // namespace sqf
