#include "model/tokenizer.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "format/text.hpp"
#include "model/tokenizer_compile.hpp"
#include "model/tokenizer_json.hpp"
#include "model/tokenizer_tables.hpp"

namespace sqf {
namespace {

constexpr int kMaxPostProcessorDepth = 4;
constexpr size_t kMaxTemplateIds = 64;

}  // namespace

Result<Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json) {
  auto json = read_tokenizer_json(tokenizer_json);
  if (!json) return json.error();
  if (auto model = bpe_model({&json->tree, ""}); !model) return model.error();
  auto compiled = compile_tables(*json, "");
  if (!compiled) return compiled.error();
  const auto section = std::make_shared<const std::string>(*std::move(compiled));
  auto tables = read_tables(std::as_bytes(std::span(*section)));
  if (!tables) return tables.error();
  auto tokenizer = assemble(json->tree, *std::move(tables));
  if (tokenizer) tokenizer->owned_ = section;
  return tokenizer;
}

Result<Tokenizer> Tokenizer::from_tables(std::span<const std::byte> section) {
  auto tables = read_tables(section);
  if (!tables) return tables.error();
  auto tree = read_tokenizer_rest(tables->rest);
  if (!tree) return malformed("TOKB: " + tree.error().message);
  return assemble(*tree, *std::move(tables));
}

Result<Tokenizer> Tokenizer::assemble(const Json& tree, TokenizerTables tables) {
  const Field root{&tree, ""};
  auto model = bpe_model(root);
  if (!model) return model.error();
  auto version = string_at(root, "version", "1.0");
  if (!version) return version.error();
  if (*version != "1.0")
    return unsupported("tokenizer.json: version " + in_quotes(*version) + ", not \"1.0\"");
  Tokenizer tokenizer;
  tokenizer.vocabulary_ = std::move(tables.vocabulary);
  tokenizer.vocab_size_ = tokenizer.vocabulary_.size();
  auto bpe = Bpe::from_json(*model, tokenizer.vocabulary_, tables.merges);
  if (!bpe) return bpe.error();
  tokenizer.bpe_ = *std::move(bpe);
  auto normalizer = Normalizer::from_json(root.find("normalizer"));
  if (!normalizer) return normalizer.error();
  tokenizer.normalizer_ = *std::move(normalizer);
  auto pre_tokenizer = PreTokenizer::from_json(root.find("pre_tokenizer"));
  if (!pre_tokenizer) return pre_tokenizer.error();
  tokenizer.pre_tokenizer_ = *std::move(pre_tokenizer);
  if (auto read = tokenizer.read_added_tokens(root); !read) return read.error();
  auto decoder = TokenDecoder::from_json(root.find("decoder"));
  if (!decoder) return decoder.error();
  tokenizer.decoder_ = *std::move(decoder);
  if (const Field component = root.find("post_processor"))
    if (auto read = tokenizer.read_post_processor(component, 0); !read) return read.error();
  return tokenizer;
}

Result<void> Tokenizer::read_added_tokens(const Field& root) {
  auto added = AddedTokens::from_json(root.find("added_tokens"), normalizer_);
  if (!added) return added.error();
  added_ = *std::move(added);
  for (const AddedToken& token : added_.all()) {
    const auto id = vocabulary_.find(token.content);
    const auto what = "tokenizer.json: added token " + in_quotes(token.content) + " has id " +
                      std::to_string(token.id) + ", ";
    if (id && *id != token.id)
      return malformed(what + "but in model.vocab it has " + std::to_string(*id));
    if (!id && vocabulary_.contains(token.id))
      return malformed(what + "which model.vocab gives to " +
                       in_quotes(vocabulary_.text(token.id)));
    vocab_size_ = std::max<int64_t>(vocab_size_, token.id + 1);
  }
  return {};
}

Result<void> Tokenizer::read_post_processor(const Field& component, int depth) {
  auto type = component_type(component);
  if (!type) return type.error();
  if (*type == "ByteLevel") return {};  // concerns offsets, which nobody asks for here
  if (*type == "TemplateProcessing") return read_template(component);
  if (*type != "Sequence" || depth > kMaxPostProcessorDepth)
    return unknown_component(component, *type);
  auto list = array_at(component, "processors");
  if (!list) return list.error();
  for (size_t i = 0; i < list->json->size(); ++i)
    if (auto read = read_post_processor(list->at(i), depth + 1); !read) return read;
  return {};
}

Result<void> Tokenizer::read_template(const Field& component) {
  auto single = array_at(component, "single");
  if (!single) return single.error();
  std::vector<int32_t> before, after;
  bool text_seen = false;
  for (size_t i = 0; i < single->json->size(); ++i) {
    const Field piece = single->at(i);
    if (const Field sequence = piece.find("Sequence")) {
      auto name = string_at(sequence, "id");
      if (!name) return name.error();
      if (*name != "A" || text_seen)
        return malformed("tokenizer.json: " + single->path + " does not hold sequence A once");
      text_seen = true;
      continue;
    }
    auto special = object_at(piece, "SpecialToken");
    if (!special) return special.error();
    auto name = string_at(*special, "id");
    if (!name) return name.error();
    auto tokens = object_at(component, "special_tokens");
    if (!tokens) return tokens.error();
    auto token = object_at(*tokens, *name);
    if (!token) return token.error();
    auto ids = array_at(*token, "ids");
    if (!ids) return ids.error();
    for (size_t j = 0; j < ids->json->size(); ++j) {
      const Json& id = (*ids->json)[j];
      const auto* value = id.get_ptr<const Json::number_unsigned_t*>();
      const bool known = value != nullptr && *value <= static_cast<uint64_t>(kMaxTokenId) &&
                         (vocabulary_.contains(static_cast<int64_t>(*value)) ||
                          added_.find(static_cast<int64_t>(*value)) != nullptr);
      if (!known) return malformed("tokenizer.json: " + ids->at(j).path + " is no token's id");
      (text_seen ? after : before).push_back(static_cast<int32_t>(*value));
    }
  }
  if (!text_seen)
    return malformed("tokenizer.json: " + single->path + " does not hold sequence A once");
  // A later processor puts its tokens around those of an earlier one.
  prefix_.insert(prefix_.begin(), before.begin(), before.end());
  suffix_.insert(suffix_.end(), after.begin(), after.end());
  if (prefix_.size() + suffix_.size() > kMaxTemplateIds)
    return malformed("tokenizer.json: post_processor adds more than " +
                     std::to_string(kMaxTemplateIds) + " tokens");
  return {};
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, bool parse_special) const {
  const TextRange whole = {0, text.size()};
  return encode_guarded(text, std::span(&whole, parse_special ? 0 : 1));
}

Result<std::vector<int32_t>> Tokenizer::encode_guarded(std::string_view text,
                                                       std::span<const TextRange> guarded) const {
  if (const auto offset = find_invalid_utf8(text))
    return malformed("text is not UTF-8 at byte " + std::to_string(*offset));
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4);
  Bpe::Scratch scratch;
  for (const auto& raw : added_.split(text, false, guarded)) {
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      continue;
    }
    auto normalized = normalizer_.apply(text.substr(raw.begin, raw.end - raw.begin));
    if (!normalized) return normalized.error();
    // Normalizing moves bytes, so a piece that holds any of a user's is guarded as a whole.
    const bool touched = std::ranges::any_of(guarded, [&](const TextRange& range) {
      return range.begin < raw.end && raw.begin < range.end;
    });
    const TextRange piece_range = {0, normalized->size()};
    const auto guarded_piece = std::span(&piece_range, touched ? 1 : 0);
    for (const auto& segment : added_.split(*normalized, true, guarded_piece)) {
      if (segment.id >= 0) {
        ids.push_back(segment.id);
        continue;
      }
      const auto piece =
          std::string_view(*normalized).substr(segment.begin, segment.end - segment.begin);
      const bool at_start = raw.begin == 0 && segment.begin == 0;
      if (auto done = encode_segment(piece, at_start, scratch, ids); !done) return done.error();
    }
  }
  return ids;
}

Result<void> Tokenizer::encode_segment(std::string_view text, bool at_start, Bpe::Scratch& scratch,
                                       std::vector<int32_t>& ids) const {
  auto pieces = pre_tokenizer_.split(std::string(text), at_start);
  if (!pieces) return pieces.error();
  for (size_t i = 0; i < pieces->size(); ++i)
    if (auto done = bpe_.encode(vocabulary_, (*pieces)[i], scratch, ids); !done) return done;
  return {};
}

std::string_view Tokenizer::token_text(int32_t id) const {
  const AddedToken* added = added_.find(id);
  return added != nullptr ? std::string_view(added->pattern) : vocabulary_.text(id);
}

std::string Tokenizer::token_bytes(int32_t id) const {
  return decoder_.bytes(token_text(id));
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* added = added_.find(id);
  return added != nullptr && added->special;
}

std::optional<int32_t> Tokenizer::find(std::string_view token) const {
  if (const AddedToken* added = added_.find(token)) return added->id;
  return vocabulary_.find(token);
}

}  // namespace sqf
