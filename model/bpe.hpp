#pragma once
// Byte pair encoding: a piece of text becomes its characters' tokens, which are merged pair by
// pair, lowest rank first, leftmost first among equals. Time n log n in the piece. A character
// that is no token becomes its bytes (byte_fallback), the unknown token, or, where the model has
// neither, nothing, as in the reference implementation. Dropout is refused.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/result.hpp"
#include "model/json_fields.hpp"
#include "model/vocabulary.hpp"

namespace sqf {

/// The merges of token i with others are entries [first[i], first[i + 1]) of the other three,
/// ascending in `right`.
struct MergeArrays {
  std::span<const uint32_t> first;   ///< one more than there are ids
  std::span<const uint32_t> right;   ///< id
  std::span<const uint32_t> rank;    ///< lower goes first
  std::span<const uint32_t> merged;  ///< id
};

/// (left id, right id) -> (rank, merged id), over arrays that lie elsewhere.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    int32_t merged;  ///< -1: the pair does not merge
  };
  MergeTable() = default;

  /// Keeps views into the arrays; the last three have one size. Linear time, allocates nothing.
  /// Errors (malformed): what breaks the order or is no id of `vocabulary`.
  static Result<MergeTable> create(const MergeArrays& arrays, const Vocabulary& vocabulary);

  /// Precondition: `left` is an id of the vocabulary.
  Merge find(int32_t left, int32_t right) const;

 private:
  MergeArrays arrays_;
};

class Bpe {
 public:
  static constexpr int kLookedBits = 12;

  /// `model` is tokenizer.json's value of that name, as bpe_model() gives it; `vocabulary` and
  /// `merges` are what it holds. Errors name the key; unsupported for dropout.
  static Result<Bpe> from_json(const Field& model, const Vocabulary& vocabulary,
                               const MergeTable& merges);

  struct Symbol {
    int32_t id;        ///< -1 once merged into its left neighbour
    int32_t previous;  ///< index, -1 at the front
    int32_t next;      ///< index, -1 at the back
  };
  struct Candidate {
    uint32_t rank;
    int32_t at;  ///< index of the left symbol
    int32_t merged;
  };
  struct Looked {
    int32_t left;
    int32_t right;
    MergeTable::Merge merge;
  };
  /// Memory that is used again from piece to piece, by one Bpe only.
  struct Scratch {
    std::vector<Symbol> symbols;
    std::vector<Candidate> queue;
    /// The last look-ups, by hash of the pair: text repeats itself, and this stays in the cache.
    std::vector<Looked> looked = std::vector<Looked>(size_t{1} << kLookedBits, {-1, -1, {0, -1}});
  };

  /// Appends the ids of one piece. `vocabulary` is the one the model was made with. Errors
  /// (malformed): a character needs the unknown token and the model names one that does not exist.
  /// Preconditions: the piece is UTF-8, shorter than 2 GiB.
  Result<void> encode(const Vocabulary& vocabulary, std::string_view piece, Scratch& scratch,
                      std::vector<int32_t>& ids) const;

 private:
  Result<void> read_options(const Field& model, const Vocabulary& vocabulary);
  Result<void> split_characters(const Vocabulary& vocabulary, std::string_view piece,
                                std::vector<Symbol>& symbols) const;
  MergeTable::Merge look_up(Scratch& scratch, int32_t left, int32_t right) const;
  void merge(Scratch& scratch) const;

  MergeTable merges_;
  std::vector<int32_t> byte_ids_;  ///< ids of <0x00>..<0xFF>; empty without byte fallback
  std::vector<int32_t> low_ids_;   ///< by code point, for the first few hundred; -1 is no token
  std::string unknown_;            ///< text; empty where the model names no unknown token
  std::optional<int32_t> unknown_id_;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
};

}  // namespace sqf
