#pragma once
// The rules that need the tensor bytes (step 15 of spec/sqf.md section 6): checksums of every
// chunk and component, zero padding, digits and numbers that mean something. The head was checked
// before.

#include <functional>
#include <span>
#include <vector>

#include "format/findings.hpp"
#include "format/head.hpp"
#include "format/part.hpp"

namespace sqf {

/// Called with the bytes of DATA checked so far; returning false stops the check.
using ProgressFn = std::function<bool(uint64_t)>;

/// Reads all of DATA and returns every broken rule, at most `max_findings`. An empty list means
/// that each byte is what the writer wrote and each number can be used. `file` is the mapped file.
std::vector<Error> validate_data(const Head& head, std::span<const std::byte> file,
                                 size_t max_findings, const ProgressFn& progress);

/// The values of one tensor (R601..R604, R606); for the smoothing vectors and column lists of all
/// inputs, check_input_values. Checksums are not looked at.
void check_tensor_values(const Head& head, std::span<const std::byte> file,
                         const TensorRecord& tensor, Findings& findings);
void check_input_values(const Head& head, std::span<const std::byte> file, Findings& findings);

/// The part as kernels see it; `expert` counts from 0. Precondition: the head passed read_head().
PartView part_view(const Head& head, std::span<const std::byte> file, const TensorRecord& tensor,
                   const PartRecord& part, uint64_t expert);

}  // namespace sqf
