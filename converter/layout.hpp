#pragma once
// A plan as the records of the file: which components each input and tensor will have.

#include "converter/plan.hpp"
#include "format/writer.hpp"

namespace sqf {

/// Components are not set; a static scale is 0 still.
InputRecord input_record(const InputPlan& plan, float static_scale);
TensorLayout layout_of(const TensorPlan& plan, uint32_t input);

/// Of the whole file, in its order: what belongs to an input stands before its first reader.
/// `static_scales` by TensorSpec::input; may be empty.
Directory lay_out(const Plan& plan, std::span<const float> static_scales);

}  // namespace sqf
