#pragma once
// The tokenizer fields of a GGUF file made into the texts a Hugging Face folder would carry.
// Byte-level BPE with the pre-tokenizers gpt-2, smollm, llama-bpe and qwen2, and SentencePiece BPE
// ("llama") with byte fallback. Refuses other kinds by name, tokens that are not UTF-8 or occur
// twice, and merges whose parts are not tokens: a tokenizer.json cannot say those.

#include <cstdint>
#include <string>
#include <string_view>

#include "converter/gguf.hpp"
#include "format/json.hpp"
#include "format/result.hpp"

namespace sqf {

struct GgufTokenizer {
  std::string tokenizer_json;  ///< empty where the file has no tokens
  std::string chat_template;
  Json tokenizer_config;   ///< bos_token, eos_token, ... as text; null without tokens
  Json generation_config;  ///< token ids; eos_token_id is a list where several end a turn
};

/// `vocabulary` is the number of embedding rows, which the tokens may not exceed.
Result<GgufTokenizer> read_gguf_tokenizer(const GgufFile& file, int64_t vocabulary,
                                          std::string_view what);

}  // namespace sqf
