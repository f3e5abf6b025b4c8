#pragma once
// The two-way map between token text and id, over tables that lie elsewhere: in a file's TOKB
// section or where one was compiled. They are used in place; only an index over them is built.
// Refuses tables that break an order, reach outside, cut a character or hold a text twice.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "format/layout.hpp"
#include "format/result.hpp"

namespace sqf {

constexpr int64_t kMaxTokenId = (int64_t{1} << 24) - 1;

/// The text of token i is bytes [begin[i], begin[i + 1]) of `pool`. An id without text is a gap,
/// but for one: `empty_id`, where it is not kNone, is the token of no bytes.
struct VocabularyTable {
  std::span<const uint32_t> begin;  ///< one more than there are ids
  std::string_view pool;
  uint32_t empty_id = kNone;
};

class Vocabulary {
 public:
  Vocabulary() = default;

  /// Keeps views into the table. Time and memory linear in it. Errors (malformed): what the table
  /// breaks, with the id.
  static Result<Vocabulary> create(const VocabularyTable& table);

  std::optional<int32_t> find(std::string_view text) const;

  /// Whether some token has this id.
  bool contains(int64_t id) const;

  /// Empty if no token has this id.
  std::string_view text(int64_t id) const;

  /// One more than the largest id.
  int64_t size() const { return size_; }

 private:
  struct Slot {
    uint32_t hash;  ///< low half of the text's hash
    uint32_t id;    ///< kNone: free
  };
  std::string_view text_of(uint32_t id) const {
    return table_.pool.substr(table_.begin[id], table_.begin[id + 1u] - table_.begin[id]);
  }
  Result<void> check() const;
  Result<void> index();
  /// Where `text` is, or the free slot where it belongs. Precondition: there are slots.
  size_t slot_of(std::string_view text, uint32_t hash) const;

  VocabularyTable table_;
  int64_t size_ = 0;
  std::vector<Slot> slots_;  ///< open addressing, a power of two of them, at least half free
};

}  // namespace sqf
