#pragma once
// Byte pair encoding: a piece of text becomes its characters' tokens, which are merged pair by
// pair, lowest rank first, leftmost first among equals. Time n log n in the piece. A character
// that is no token becomes its bytes (byte_fallback), the unknown token, or, where the model has
// neither, nothing, as in the reference implementation. Dropout and affixes are refused.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/result.hpp"
#include "model/json_fields.hpp"
#include "model/tokenizer_json.hpp"
#include "model/vocabulary.hpp"

namespace sqf {

/// (left id, right id) -> (rank, merged id)
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    int32_t merged;
  };
  void reserve(size_t n_merges);
  /// A pair that is there already gets the new rank, as the reference implementation has it.
  void add(int32_t left, int32_t right, Merge merge);
  const Merge* find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t key;
    Merge merge;
  };
  size_t slot_of(uint64_t key) const;

  std::vector<Slot> slots_;  ///< open addressing, a power of two of them
  size_t n_merges_ = 0;
};

class Bpe {
 public:
  /// `model` is tokenizer.json's value of that name; `vocabulary` and `merges` are what it holds.
  /// Errors name the key; unsupported where the model asks for what this is not.
  static Result<Bpe> from_json(const Field& model, const Vocabulary& vocabulary,
                               const MergeList& merges);

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
  /// Memory that is used again from piece to piece.
  struct Scratch {
    std::vector<Symbol> symbols;
    std::vector<Candidate> queue;
  };

  /// Appends the ids of one piece. `vocabulary` is the one the model was made with. Errors
  /// (malformed): a character needs the unknown token and the model names one that does not exist.
  /// Preconditions: the piece is UTF-8, shorter than 2 GiB.
  Result<void> encode(const Vocabulary& vocabulary, std::string_view piece, Scratch& scratch,
                      std::vector<int32_t>& ids) const;

 private:
  Result<void> read_options(const Field& model, const Vocabulary& vocabulary);
  Result<void> read_merges(const MergeList& merges, const Vocabulary& vocabulary);
  Result<void> split_characters(const Vocabulary& vocabulary, std::string_view piece,
                                std::vector<Symbol>& symbols) const;
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
