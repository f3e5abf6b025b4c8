#pragma once
// Text to token ids and back, as a Hugging Face tokenizer.json prescribes, id for id what the
// tokenizers library gives. Byte-level and SentencePiece-style BPE are implemented; other models
// (WordPiece, Unigram) and pipeline components are refused by name, none is passed over.
// tokenizer.json's truncation and padding are a caller's settings and have no part in the ids.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/result.hpp"
#include "model/added_tokens.hpp"
#include "model/bpe.hpp"
#include "model/normalizer.hpp"
#include "model/pretokenizer.hpp"
#include "model/token_decoder.hpp"
#include "model/vocabulary.hpp"

namespace sqf {

struct TokenizerTables;

/// Immutable once made; encoding from several threads at a time is safe.
class Tokenizer {
 public:
  /// `tokenizer_json` is the text of the file. Safe on hostile input. Errors: malformed, with the
  /// key path; unsupported, with the name of what is not implemented.
  static Result<Tokenizer> from_json(std::string_view tokenizer_json);

  /// `section` is what compile_tokenizer made of such a text (a file's TOKB), and does the same
  /// without parsing it. Keeps views into it: the bytes must outlive the tokenizer, and stay as
  /// they are. Safe on hostile input. Errors: as from_json, and those of read_tables.
  static Result<Tokenizer> from_tables(std::span<const std::byte> section);

  /// The ids of `text`, without prefix_ids() and suffix_ids(). With `parse_special` special tokens
  /// written out in the text become their ids (a template's text); without, they are ordinary
  /// characters (a user's text). Errors (malformed): not UTF-8, with the byte offset; more than
  /// 256 MiB between two special tokens.
  Result<std::vector<int32_t>> encode(std::string_view text, bool parse_special) const;

  /// The same where only parts of the text are a user's: special tokens that touch a guarded range
  /// are ordinary characters, all others are read. `guarded` ascends without overlap.
  Result<std::vector<int32_t>> encode_guarded(std::string_view text,
                                              std::span<const TextRange> guarded) const;

  /// What the post-processor puts before and after a text: begin-of-text and its like.
  std::span<const int32_t> prefix_ids() const { return prefix_; }
  std::span<const int32_t> suffix_ids() const { return suffix_; }

  /// The bytes the token stands for, which need not be whole characters; empty if there is no such
  /// token. A special token's bytes are its text.
  std::string token_bytes(int32_t id) const;

  bool is_special(int32_t id) const;

  /// The id of the token whose text, as tokenizer.json writes it, is `token`.
  std::optional<int32_t> find(std::string_view token) const;

  /// One more than the largest id.
  int64_t vocab_size() const { return vocab_size_; }

 private:
  friend class StreamDecoder;

  Tokenizer() = default;
  static Result<Tokenizer> assemble(const Json& tree, TokenizerTables tables);
  Result<void> read_added_tokens(const Field& root);
  Result<void> read_post_processor(const Field& component, int depth);
  Result<void> read_template(const Field& component);
  Result<void> encode_segment(std::string_view text, bool at_start, Bpe::Scratch& scratch,
                              std::vector<int32_t>& ids) const;
  /// The text that the decoder turns into bytes.
  std::string_view token_text(int32_t id) const;

  std::shared_ptr<const std::string> owned_;  ///< the tables, where no caller holds them
  Vocabulary vocabulary_;  ///< of the model; added tokens are not in it unless they are there too
  Normalizer normalizer_;
  AddedTokens added_;
  PreTokenizer pre_tokenizer_;
  Bpe bpe_;
  TokenDecoder decoder_;
  std::vector<int32_t> prefix_;
  std::vector<int32_t> suffix_;
  int64_t vocab_size_ = 0;
};

/// Joins tokens into text and lets out whole characters only, as soon as they are whole. Bytes
/// that can be no character become U+FFFD. Keeps a reference to the tokenizer.
class StreamDecoder {
 public:
  /// Where a text begins and where one goes on (behind a prompt) differ for tokenizers that put a
  /// space before the first word: at the beginning it is taken off again.
  enum class Place : uint8_t { beginning, continuation };

  explicit StreamDecoder(const Tokenizer& tokenizer, Place place = Place::beginning);

  /// The text that `id` completes. Special tokens show nothing unless asked for.
  std::string push(int32_t id, bool show_special = false);

  /// U+FFFD if the last character is unfinished, else nothing.
  std::string finish();

 private:
  std::string strip(std::string text);

  const Tokenizer& tokenizer_;
  std::string pending_;  ///< the bytes of an unfinished character
  bool first_;
  int n_strip_;
};

}  // namespace sqf
