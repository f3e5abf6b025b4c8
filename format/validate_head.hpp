#pragma once
// Steps 1 to 13 of reading a file (spec/sqf.md section 6): header, section table, sections,
// META, tensor directory, test vectors. Each step uses only what those before it have checked.

#include <cstddef>
#include <span>

#include "format/findings.hpp"
#include "format/head.hpp"

namespace sqf {

/// Names what is broken, and fills `head` if nothing is; returns whether it did. `file` is the
/// whole mapped file, of which only the head is touched. Safe on hostile bytes.
bool check_head(std::span<const std::byte> file, Findings& findings, Head* head);

}  // namespace sqf
