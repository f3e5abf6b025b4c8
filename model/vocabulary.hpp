#pragma once
// The two-way map between token text and id. Text lies in one block; ids may have gaps but must
// stay dense enough that an array over them is no larger than the file that named them deserves.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/result.hpp"

namespace sqf {

/// Mixes 64 bits under a seed that differs from process to process, so that no file can be made
/// whose keys all collide.
uint64_t seeded_hash(uint64_t value);
uint64_t seeded_hash(std::string_view bytes);

constexpr int64_t kMaxTokenId = int64_t{1} << 24;

class Vocabulary {
 public:
  /// Errors (malformed): an id outside 0..kMaxTokenId or taken, a text that is there already,
  /// more than 4 GiB of text.
  Result<void> add(std::string_view text, int64_t id);

  /// Errors (malformed): ids so sparse that an array over them would be mostly holes. To be
  /// called once, after the last add and before text() and size().
  Result<void> finish();

  std::optional<int32_t> find(std::string_view text) const;

  /// Whether some token has this id.
  bool contains(int64_t id) const;

  /// Empty if no token has this id.
  std::string_view text(int64_t id) const;

  /// One more than the largest id.
  int64_t size() const { return static_cast<int64_t>(index_of_.size()); }

 private:
  struct Token {
    uint32_t begin;
    uint32_t length;
    int32_t id;
  };
  struct Slot {
    uint32_t hash;   ///< low half of the text's hash
    uint32_t index;  ///< into tokens_, plus 1; 0 is free
  };
  std::string_view text_of(const Token& token) const {
    return std::string_view(block_).substr(token.begin, token.length);
  }
  /// Where `text` is, or the free slot where it belongs. Precondition: there are slots.
  size_t slot_of(std::string_view text, uint32_t hash) const;
  void grow();

  std::string block_;
  std::vector<Token> tokens_;       ///< in order of adding
  std::vector<Slot> slots_;         ///< open addressing, a power of two of them
  std::vector<uint32_t> index_of_;  ///< by id; index into tokens_ plus 1, 0 is a gap
};

}  // namespace sqf
