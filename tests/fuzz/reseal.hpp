#pragma once
// Damaged files with good checksums, so that a fuzzer gets past them. Everything here takes any
// bytes at all: an offset that leads nowhere is left as it is.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "format/directory.hpp"
#include "format/layout.hpp"

namespace sqf {

/// A file in pieces; `bytes` are a section's stored bytes, as far as the file holds them.
struct Piece {
  SectionRecord record = {};
  std::vector<std::byte> bytes;
};
struct Pieces {
  Header header = {};
  std::vector<Piece> sections;

  Piece* find(SectionKind kind);
};

/// Nothing where there is no header.
std::optional<Pieces> take_apart(std::span<const std::byte> file);

/// Lays the sections out anew: offsets, sizes, counts, the file's size; components move with DATA.
/// The magic, versions, flags and codecs stay what they are. Hashes are reseal()'s.
std::vector<std::byte> put_together(Pieces pieces);

/// Computes all hashes again from the inside out: components, leaves, sections, table, header.
void reseal(std::span<std::byte> file);

/// The directory in a TDIR section, whatever its records say; nothing where the counts do not fit.
std::optional<Directory> find_directory(const Piece& tdir);

/// Gives each component the shape that the records ask for and lays DATA out anew, keeping bytes
/// where they fit. False, and nothing done: DATA would be larger than `max_data`. Writes test
/// vectors that match, where there is an ENCV.
bool relayout(Pieces& pieces, Directory directory, uint64_t max_data);

}  // namespace sqf
