#pragma once
// How far a position turns each pair of a head, for every backend.

#include <vector>

#include "model/description.hpp"

namespace sqf {

/// [head_dim / 2] in radians per position; the scaling of the file applied.
std::vector<float> rope_frequencies(const ModelDescription& d);

}  // namespace sqf
