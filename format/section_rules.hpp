#pragma once
// What the format says of each kind of section. A kind that this version does not know has rules
// too: it may be there, uncompressed, as long as no reader has to understand it.

#include <cstdint>
#include <span>

#include "format/layout.hpp"

namespace sqf {

struct SectionRules {
  SectionKind kind;   ///< SectionKind{} for an unknown one
  uint64_t limit;     ///< bytes, stored and raw
  bool required;      ///< there must be one, and it must be flagged critical
  bool compressible;  ///< may be a zstd frame
  bool text;          ///< must be UTF-8; META is checked as JSON instead
};

/// Of every kind that is known.
std::span<const SectionRules> section_rules();

const SectionRules& section_rules(SectionKind kind);

}  // namespace sqf
