// A tokenizer.json, then a fixed text to ids and back. Ids must be ones that the tokenizer has.

#include "model/tokenizer.hpp"
#include "tests/fuzz/guard.hpp"

namespace {

// ASCII words, digits and contractions, accents in both normal forms, CJK, an emoji sequence,
// white space of several kinds, text that looks like special tokens.
constexpr std::string_view kText =
    "Hello, world! I'm 12345 years  old\u2026\r\n\tcaf\u00e9 cafe\u0301 \u00a0stra\u00dfe "
    "\u4f60\u597d\u3042\ud55c \U0001F468\u200d\U0001F469 <s> </s> <|bos|><|im_start|>user\n"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \n \n";

void encode(const sqf::Tokenizer& tokenizer, bool parse_special) {
  const auto ids = tokenizer.encode(kText, parse_special);
  if (!ids) return;
  sqf::StreamDecoder decoder(tokenizer);
  uint64_t sum = 0;
  for (const int32_t id : *ids) {
    sqf::require(id >= 0 && id < tokenizer.vocab_size(), "ids are below the vocabulary's size");
    sum += tokenizer.token_bytes(id).size() + decoder.push(id, parse_special).size();
  }
  sqf::consume(sum + decoder.finish().size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sqf::TimeGuard guard;
  const auto tokenizer = sqf::Tokenizer::from_json(sqf::input_text(data, size));
  if (!tokenizer) return 0;
  encode(*tokenizer, false);
  encode(*tokenizer, true);
  const sqf::TextRange guarded[] = {{0, 20}, {kText.size() - 10, kText.size()}};
  if (const auto ids = tokenizer->encode_guarded(kText, guarded)) sqf::consume(ids->size());
  for (const int64_t id : {int64_t{-1}, int64_t{0}, tokenizer->vocab_size()})
    sqf::consume(tokenizer->token_bytes(static_cast<int32_t>(id)).size());
  return 0;
}
