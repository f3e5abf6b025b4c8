#include "converter/gguf_tokenizer.hpp"

#include <algorithm>
#include <array>

#include "converter/gguf_vocabulary.hpp"
#include "format/text.hpp"

namespace sqf {
namespace {

constexpr std::string_view kLlamaWords =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwenWords =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581, SentencePiece's space

/// What the pieces of tokenizer.json are made of, whatever the family.
struct Family {
  Json normalizer;
  Json pre_tokenizer;
  Json decoder;
  bool sentence_piece = false;
  bool ignore_merges = false;
  bool adds_bos = false;  ///< where the file does not say
};

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json split_then_bytes(std::string_view words) {
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", words}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level(false)})}};
}

Result<Family> byte_level_family(std::string_view pre, const std::string& what) {
  Family family;
  family.decoder = {{"type", "ByteLevel"},
                    {"add_prefix_space", true},
                    {"trim_offsets", true},
                    {"use_regex", true}};
  if (pre == "gpt-2" || pre == "gpt2") {
    family.pre_tokenizer = byte_level(true);
  } else if (pre == "smollm") {
    const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
    family.pre_tokenizer = {{"type", "Sequence"},
                            {"pretokenizers", Json::array({digits, byte_level(true)})}};
  } else if (pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3") {
    family.pre_tokenizer = split_then_bytes(kLlamaWords);
    family.ignore_merges = true;
    family.adds_bos = true;
  } else if (pre == "qwen2") {
    family.normalizer = {{"type", "NFC"}};
    family.pre_tokenizer = split_then_bytes(kQwenWords);
  } else {
    return unsupported(
        what + ": pre-tokenizer " + in_quotes(pre) +
        " (tokenizer.ggml.pre); gpt-2, smollm, llama-bpe and qwen2 can be converted");
  }
  return family;
}

Family sentence_piece_family(bool space_prefix) {
  Json normalizers = Json::array();
  if (space_prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
  normalizers.push_back(
      {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceMark}});
  Json decoders = {{{"type", "Replace"}, {"pattern", {{"String", kSpaceMark}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}};
  if (space_prefix)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  Family family;
  family.normalizer = {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
  family.decoder = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
  family.sentence_piece = true;
  family.adds_bos = true;
  return family;
}

/// The texts and flags that are read below have the type they should.
Result<void> check_types(const GgufFile& file, const std::string& what) {
  constexpr std::pair<std::string_view, GgufType> expected[] = {
      {"tokenizer.chat_template", GgufType::string},
      {"tokenizer.ggml.model", GgufType::string},
      {"tokenizer.ggml.pre", GgufType::string},
      {"tokenizer.ggml.add_bos_token", GgufType::boolean},
      {"tokenizer.ggml.add_eos_token", GgufType::boolean},
      {"tokenizer.ggml.add_space_prefix", GgufType::boolean},
  };
  for (const auto& [key, type] : expected) {
    const GgufValue* value = file.find(key);
    if (value != nullptr && (value->is_array || value->type != type))
      return malformed(what + ": " + std::string(key) + " is not a " +
                       (type == GgufType::string ? "string" : "boolean"));
  }
  return {};
}

/// The string under a key that check_types has seen; empty where it is absent.
std::string_view text_of(const GgufFile& file, std::string_view key) {
  const GgufValue* value = file.find(key);
  return value == nullptr ? "" : value->strings[0];
}

bool flag_of(const GgufFile& file, std::string_view key, bool fallback) {
  const GgufValue* value = file.find(key);
  return value == nullptr ? fallback : gguf_integer(*value, 0) != 0;
}

/// A special token's id, -1 where the file names none.
Result<int64_t> token_of(const GgufFile& file, const std::string& role, size_t tokens,
                         const std::string& what) {
  const std::string key = "tokenizer.ggml." + role + "_token_id";
  const GgufValue* value = file.find(key);
  if (value == nullptr) return int64_t{-1};
  const std::optional<int64_t> id = value->is_array ? std::nullopt : gguf_integer(*value, 0);
  // Writers of GGUF put -1, or its unsigned twin, for "none".
  if (id && (*id == -1 || *id == 0xffffffff)) return int64_t{-1};
  if (!id || *id < 0 || static_cast<uint64_t>(*id) >= tokens)
    return malformed(what + ": " + key + " is " + (id ? std::to_string(*id) : "not an integer") +
                     ", but there are " + std::to_string(tokens) + " tokens");
  return *id;
}

struct Specials {
  int64_t bos = -1;
  int64_t eos = -1;
  int64_t unknown = -1;
  int64_t padding = -1;
  int64_t end_of_turn = -1;
  int64_t end_of_message = -1;
};

Result<Specials> read_specials(const GgufFile& file, size_t tokens, bool sentence_piece,
                               const std::string& what) {
  Specials out;
  if (sentence_piece) {
    // What SentencePiece trains with unless told otherwise.
    if (tokens > 2) out = {1, 2, 0, -1, -1, -1};
  }
  const std::pair<const char*, int64_t*> roles[] = {
      {"bos", &out.bos},         {"eos", &out.eos},         {"unknown", &out.unknown},
      {"padding", &out.padding}, {"eot", &out.end_of_turn}, {"eom", &out.end_of_message}};
  for (const auto& [role, id] : roles) {
    Result<int64_t> found = token_of(file, role, tokens, what);
    if (!found) return found.error();
    if (*found >= 0) *id = *found;
  }
  return out;
}

/// Tokens that are matched in the text before anything else.
Result<Json> added_tokens(const GgufVocabulary& vocabulary, const std::string& what) {
  Json added = Json::array();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const TokenKind kind = vocabulary.kinds[id];
    const bool special = kind == TokenKind::control || kind == TokenKind::unknown;
    if (!special && kind != TokenKind::user_defined) continue;
    if (vocabulary.tokens[id].empty())
      return malformed(what + ": special token " + std::to_string(id) + " is empty");
    added.push_back({{"id", id},
                     {"content", vocabulary.tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", special}});
  }
  return added;
}

/// Every byte has a token <0x00> to <0xFF>.
bool has_byte_tokens(const GgufVocabulary& vocabulary) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (size_t byte = 0; byte < 256; ++byte) {
    const std::array<char, 6> text = {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
    if (!vocabulary.find(std::string_view(text.data(), text.size()))) return false;
  }
  return true;
}

/// TemplateProcessing that puts bos before and eos after each text; null for neither.
Json post_processor(const GgufVocabulary& vocabulary, int64_t bos, int64_t eos) {
  if (bos < 0 && eos < 0) return nullptr;
  Json specials = Json::object();
  const auto special = [&](int64_t id, int segment) -> Json {
    const std::string text(vocabulary.tokens[static_cast<size_t>(id)]);
    specials[text] = {{"id", text}, {"ids", Json::array({id})}, {"tokens", Json::array({text})}};
    return {{"SpecialToken", {{"id", text}, {"type_id", segment}}}};
  };
  const auto append = [&](Json& out, const char* sequence, int segment) {
    if (bos >= 0) out.push_back(special(bos, segment));
    out.push_back({{"Sequence", {{"id", sequence}, {"type_id", segment}}}});
    if (eos >= 0) out.push_back(special(eos, segment));
  };
  Json single = Json::array();
  append(single, "A", 0);
  Json pair = Json::array();
  append(pair, "A", 0);
  append(pair, "B", 1);
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(specials)}};
}

Json bpe_model(const Family& family, const GgufVocabulary& vocabulary,
               const std::vector<Merge>& merges, int64_t unknown) {
  Json ids = Json::object();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id)
    ids[std::string(vocabulary.tokens[id])] = id;
  Json pairs = Json::array();
  for (const auto& [left, right] : merges) pairs.push_back(Json::array({left, right}));
  Json unknown_token;
  if (family.sentence_piece && unknown >= 0)
    unknown_token = vocabulary.tokens[static_cast<size_t>(unknown)];
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", std::move(unknown_token)},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", family.sentence_piece},
          {"byte_fallback", family.sentence_piece && has_byte_tokens(vocabulary)},
          {"ignore_merges", family.ignore_merges},
          {"vocab", std::move(ids)},
          {"merges", std::move(pairs)}};
}

Json make_tokenizer_config(const GgufVocabulary& vocabulary, const Specials& specials,
                           bool adds_bos, bool adds_eos) {
  Json out = {{"add_bos_token", adds_bos}, {"add_eos_token", adds_eos}};
  const auto name = [&](const char* word, int64_t id) {
    if (id >= 0) out[word] = vocabulary.tokens[static_cast<size_t>(id)];
  };
  name("bos_token", specials.bos);
  name("eos_token", specials.eos);
  name("unk_token", specials.unknown);
  name("pad_token", specials.padding);
  return out;
}

Json make_generation_config(const Specials& specials) {
  Json out = Json::object();
  if (specials.bos >= 0) out["bos_token_id"] = specials.bos;
  if (specials.padding >= 0) out["pad_token_id"] = specials.padding;
  Json ends = Json::array();
  for (const int64_t id : {specials.eos, specials.end_of_turn, specials.end_of_message})
    if (id >= 0 && std::find(ends.begin(), ends.end(), Json(id)) == ends.end()) ends.push_back(id);
  if (ends.size() == 1) out["eos_token_id"] = ends[0];
  if (ends.size() > 1) out["eos_token_id"] = std::move(ends);
  return out;
}

Result<Family> find_family(const GgufFile& file, const std::string& what) {
  const std::string_view model = text_of(file, "tokenizer.ggml.model");
  if (model == "llama")
    return sentence_piece_family(flag_of(file, "tokenizer.ggml.add_space_prefix", true));
  if (model == "gpt2") return byte_level_family(text_of(file, "tokenizer.ggml.pre"), what);
  return unsupported(what + ": tokenizer of kind " + in_quotes(model) +
                     " (tokenizer.ggml.model); gpt2 and llama can be converted");
}

}  // namespace

Result<GgufTokenizer> read_gguf_tokenizer(const GgufFile& file, int64_t vocabulary_size,
                                          std::string_view what) {
  const std::string name(what);
  if (Result<void> checked = check_types(file, name); !checked) return checked.error();
  GgufTokenizer out;
  out.chat_template = text_of(file, "tokenizer.chat_template");
  if (!is_utf8(out.chat_template)) return malformed(name + ": the chat template is not UTF-8");
  if (file.find("tokenizer.ggml.tokens") == nullptr) return out;
  Result<Family> family = find_family(file, name);
  if (!family) return family.error();
  Result<GgufVocabulary> vocabulary = read_vocabulary(file, what);
  if (!vocabulary) return vocabulary.error();
  const size_t tokens = vocabulary->tokens.size();
  if (tokens > static_cast<uint64_t>(vocabulary_size))
    return malformed(name + ": " + std::to_string(tokens) + " tokens, but only " +
                     std::to_string(vocabulary_size) + " embedding rows");
  const bool derive = family->sentence_piece && file.find("tokenizer.ggml.merges") == nullptr;
  Result<std::vector<Merge>> merges =
      derive ? derive_merges(file, *vocabulary, what) : read_merges(file, *vocabulary, what);
  if (!merges) return merges.error();
  Result<Specials> specials = read_specials(file, tokens, family->sentence_piece, name);
  if (!specials) return specials.error();
  Result<Json> added = added_tokens(*vocabulary, name);
  if (!added) return added.error();
  const bool adds_bos = flag_of(file, "tokenizer.ggml.add_bos_token", family->adds_bos);
  const bool adds_eos = flag_of(file, "tokenizer.ggml.add_eos_token", false);
  if ((adds_bos && specials->bos < 0) || (adds_eos && specials->eos < 0))
    return malformed(name + ": the tokenizer adds a token whose id the file does not give");
  const Json tokenizer = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", *std::move(added)},
      {"normalizer", family->normalizer},
      {"pre_tokenizer", family->pre_tokenizer},
      {"post_processor",
       post_processor(*vocabulary, adds_bos ? specials->bos : -1, adds_eos ? specials->eos : -1)},
      {"decoder", family->decoder},
      {"model", bpe_model(*family, *vocabulary, *merges, specials->unknown)}};
  out.tokenizer_json = tokenizer.dump();
  out.tokenizer_config = make_tokenizer_config(*vocabulary, *specials, adds_bos, adds_eos);
  out.generation_config = make_generation_config(*specials);
  return out;
}

}  // namespace sqf
