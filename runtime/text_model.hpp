#pragma once
// Text in, text out: an engine with the tokenizer and chat template of the same file. What turns
// a prompt or a conversation into tokens, and streams an answer back.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "loader/model_file.hpp"
#include "model/chat_template.hpp"
#include "model/tokenizer.hpp"
#include "runtime/engine.hpp"
#include "runtime/sampler.hpp"

namespace sqf {

struct Message {
  std::string role;     ///< "system", "user", "assistant"
  std::string content;  ///< never read as control tokens
};

enum class StopReason : uint8_t { end_of_text, length, context_full, interrupted };

/// What generate() did, in tokens and seconds.
struct Generation {
  StopReason stop = StopReason::length;
  std::string text;
  int64_t prompt_tokens = 0;  ///< evaluated now; those the cache held already do not count
  int64_t generated_tokens = 0;
  double prompt_seconds = 0, decode_seconds = 0;
};

/// Owns the file, engine and tokenizer. Not thread-safe.
class TextModel {
 public:
  using MakeEngine = std::function<Result<Engine>(const ModelFile&, const EngineOptions&)>;

  /// Errors: those of ModelFile::open and `make`; malformed R703 for a missing, broken or
  /// misfitting tokenizer.
  static Result<TextModel> open(const std::filesystem::path& path, const EngineOptions& options,
                                const MakeEngine& make = Engine::create);

  /// Tokens of a plain prompt, the tokenizer's own prefix first. Errors: malformed (not UTF-8),
  /// usage (empty).
  Result<std::vector<int32_t>> prompt(std::string_view text) const;
  /// Tokens of a conversation under the model's chat template, ready for the answer.
  Result<std::vector<int32_t>> conversation(const std::vector<Message>& messages) const;

  /// Continues `tokens` by at most `limit` tokens. What the cache already holds of `tokens` is not
  /// computed again. `emit` gets text as soon as it is whole characters; `stopped` is asked before
  /// each token. Errors: usage, when the prompt does not fit the context.
  Result<Generation> generate(const std::vector<int32_t>& tokens, int64_t limit, Sampler& sampler,
                              const std::function<void(std::string_view)>& emit,
                              const std::function<bool()>& stopped);

  Engine& engine() { return engine_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const ModelFile& file() const { return *file_; }

 private:
  TextModel(std::unique_ptr<ModelFile> file, Engine engine, Tokenizer tokenizer);

  std::unique_ptr<ModelFile> file_;  ///< its address is what the engine keeps
  Engine engine_;
  Tokenizer tokenizer_;
  std::optional<ChatTemplate> template_;
  std::vector<int32_t> cached_;  ///< the tokens that the engine has seen
};

}  // namespace sqf
