#pragma once
// The section TOKB (spec/tokenizer.md): a tokenizer.json compiled to tables that are used where
// they lie. Here is its layout; reading refuses whatever could lead a lookup out of bounds.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "format/result.hpp"
#include "model/bpe.hpp"
#include "model/vocabulary.hpp"

namespace sqf {

inline constexpr uint32_t kTablesVersion = 1;

/// Behind it, each padded with zeros to 8 bytes: text_begin u32[id_count + 1],
/// merge_first u32[id_count + 1], merge_right, merge_rank, merged u32[merge_count],
/// pool u8[pool_bytes], rest u8[rest_bytes].
struct TablesHeader {
  uint32_t version;
  uint32_t id_count;  ///< one more than the largest id
  uint32_t merge_count;
  uint32_t pool_bytes;
  uint32_t rest_bytes;
  uint32_t empty_id;  ///< the token of no bytes, or kNone
  std::array<uint32_t, 10> reserved;
};
static_assert(sizeof(TablesHeader) == 64);

/// What the section holds, as views.
struct TableArrays {
  VocabularyTable vocabulary;
  MergeArrays merges;
  std::string_view rest;  ///< tokenizer.json without vocabulary and merges
};

/// Errors (unsupported): more than a section may hold.
Result<std::string> write_tables(const TableArrays& arrays);

/// The same checked and ready for lookups, with views into the section.
struct TokenizerTables {
  Vocabulary vocabulary;
  MergeTable merges;
  std::string_view rest;
};

/// Keeps views into `section`, which must stay and not change. Linear time; allocates the index of
/// the vocabulary only. Errors: malformed, with what and where; unsupported for an unknown version;
/// usage for a section that does not start at a multiple of 4 bytes.
Result<TokenizerTables> read_tables(std::span<const std::byte> section);

}  // namespace sqf
