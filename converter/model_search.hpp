#pragma once
// SmoothQuant+'s search: one exponent for all sites, by the error of the last hidden state; and
// what it shares with the search by sites. Candidates run through the whole model side by side.

#include "converter/calibration/block.hpp"
#include "converter/smoothing_search.hpp"

namespace sqf {

double squared_distance(const float* a, const float* b, int64_t count);
Error search_interrupted();

/// Into `choices`, which have their smoothing vectors then; context as choose_inputs has it.
Result<void> search_model(const SourceModel& source, const Plan& plan, const Statistics& statistics,
                          const BlockContext& context, const CalibrationTokens& tokens,
                          const SearchOptions& options, std::vector<InputChoice>* choices);

}  // namespace sqf
