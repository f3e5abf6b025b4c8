#pragma once
// The ENCV section (spec/sqf.md section 5): for each encoding one small matrix with all its
// planes and the values it decodes to, so that a reader can prove that it means the same.

#include <cstddef>
#include <span>
#include <string>

#include "format/encoding.hpp"
#include "format/findings.hpp"

namespace sqf {

/// Columns of an encoding's test matrix; it has 16 rows.
int64_t test_vector_columns(const EncodingRecord& encoding);

/// The section for these encodings. The same encodings give the same bytes.
std::string make_test_vectors(std::span<const EncodingRecord> encodings);

/// Decodes every vector: R305 for a section of another size, R306 for values of other bits.
/// Precondition: every encoding is valid.
void check_test_vectors(std::span<const std::byte> section,
                        std::span<const EncodingRecord> encodings, Findings& findings);

}  // namespace sqf
