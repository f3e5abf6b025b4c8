#pragma once
// One safetensors file: u64 header length, JSON header, data. Refuses whatever the reference
// reader refuses (header over 100 MB, gaps, overlaps, sizes that do not fit the shape, bytes left
// over), and further: duplicate names, unknown fields, empty tensors, scalars, rank over 3, names
// that are empty or hold control characters, element types other than F32, F16 and BF16.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "converter/source.hpp"
#include "format/result.hpp"

namespace sqf {

/// Tensors of the file mapped at `file`, sorted by name, views into it. `what` names the file in
/// errors. Safe on hostile input; memory stays proportional to the header.
Result<std::vector<SourceTensor>> read_safetensors(std::span<const std::byte> file,
                                                   std::string_view what);

}  // namespace sqf
