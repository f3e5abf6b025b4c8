#pragma once
// The head of a file: header, section table, and the sections before DATA. read_head() is the one
// door: whatever it returns has passed every rule that does not need the tensor bytes.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/directory.hpp"
#include "format/json.hpp"
#include "format/layout.hpp"
#include "format/result.hpp"

namespace sqf {

/// A section that was stored compressed.
struct Inflated {
  SectionKind kind;
  std::string bytes;
};

struct Head {
  Header header;
  std::vector<SectionRecord> sections;  ///< in file order; DATA last
  std::vector<std::byte> bytes;         ///< the head, copied once: what was checked is what is used
  std::vector<Inflated> inflated;       ///< raw bytes of the compressed sections
  Json meta;
  Directory directory;

  const SectionRecord* section(SectionKind kind) const;
  /// The raw bytes of a section before DATA; empty where there is none.
  std::span<const std::byte> section_bytes(SectionKind kind) const;
  std::string_view section_text(SectionKind kind) const;
  uint64_t data_begin() const { return sections.back().offset; }
  uint64_t data_end() const { return sections.back().offset + sections.back().stored_size; }
  uint64_t chunk_bytes() const { return uint64_t{1} << header.chunk_log2; }
};

/// Sections before DATA start here, so that adding one never moves the table.
inline constexpr uint64_t kFirstSection = 4096;

std::string section_name(SectionKind kind);
bool is_required(SectionKind kind);        ///< there must be one, flagged critical
bool is_compressible(SectionKind kind);    ///< may be stored as a zstd frame
uint64_t section_limit(SectionKind kind);  ///< bytes, stored and raw

/// Where a section must start when the one before it ends at `end`.
uint64_t section_start(const Header& header, SectionKind kind, uint64_t end);

/// Reads and checks the head of `file` (the whole mapped file; only the head is touched). Safe on
/// hostile bytes; memory stays proportional to the head. Errors: malformed with its rule,
/// unsupported for a newer version or feature.
Result<Head> read_head(std::span<const std::byte> file);

}  // namespace sqf
