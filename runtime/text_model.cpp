#include "runtime/text_model.hpp"

#include <algorithm>
#include <chrono>

#include "format/rules.hpp"

namespace sqf {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// From the tables where the file has them in a form that this build knows. Views into the head.
Result<Tokenizer> open_tokenizer(const Head& head) {
  const std::string_view json = head.section_text(SectionKind::tokn);
  if (json.empty()) return malformed("the file holds no tokenizer");
  if (const auto tables = head.section_bytes(SectionKind::tokb); !tables.empty()) {
    auto tokenizer = Tokenizer::from_tables(tables);
    if (tokenizer || tokenizer.error().code != Code::unsupported) return tokenizer;
  }
  return Tokenizer::from_json(json);
}

}  // namespace

TextModel::TextModel(std::unique_ptr<ModelFile> file, Engine engine, Tokenizer tokenizer)
    : file_(std::move(file)), engine_(std::move(engine)), tokenizer_(std::move(tokenizer)) {}

Result<TextModel> TextModel::open(const std::filesystem::path& path, const EngineOptions& options,
                                  const MakeEngine& make) {
  auto opened = ModelFile::open(path);
  if (!opened) return opened.error();
  auto file = std::make_unique<ModelFile>(std::move(*opened));
  auto engine = make(*file, options);
  if (!engine) return engine.error();
  auto tokenizer = open_tokenizer(file->head());
  if (!tokenizer) {
    if (tokenizer.error().code == Code::unsupported) return tokenizer.error();
    return broken(Rule::model_tokenizer, tokenizer.error().message);
  }
  if (tokenizer->vocab_size() > engine->description().vocab_size)
    return broken(Rule::model_tokenizer, std::to_string(tokenizer->vocab_size()) + " tokens for " +
                                             std::to_string(engine->description().vocab_size) +
                                             " rows of the embedding");
  TextModel model(std::move(file), std::move(*engine), std::move(*tokenizer));
  if (const auto source = model.file_->head().section_text(SectionKind::tmpl); !source.empty()) {
    auto parsed = ChatTemplate::parse(source);
    if (!parsed) return parsed.error();
    model.template_ = std::move(*parsed);
  }
  return model;
}

Result<std::vector<int32_t>> TextModel::prompt(std::string_view text) const {
  auto ids = tokenizer_.encode(text, true);
  if (!ids) return ids.error();
  const auto prefix = tokenizer_.prefix_ids();
  ids->insert(ids->begin(), prefix.begin(), prefix.end());
  if (ids->empty()) return usage_error("the prompt is empty");
  return ids;
}

Result<std::vector<int32_t>> TextModel::conversation(const std::vector<Message>& messages) const {
  if (!template_) return usage_error("the model has no chat template; leave out --chat");
  OrderedJson list = OrderedJson::array();
  for (const Message& m : messages) list.push_back({{"role", m.role}, {"content", m.content}});
  const ModelDescription& d = engine_.description();
  const auto token = [&](int64_t id) {
    return id < 0 ? std::string() : tokenizer_.token_bytes(static_cast<int32_t>(id));
  };
  const OrderedJson context = {{"messages", list},
                               {"add_generation_prompt", true},
                               {"bos_token", token(d.bos_id)},
                               {"eos_token", token(d.eos_ids.empty() ? -1 : d.eos_ids[0])}};
  auto spans = template_->render(context);
  if (!spans) return spans.error();
  std::string text;
  std::vector<TextRange> user;
  for (const TemplateSpan& span : *spans) {
    if (span.from_user) user.push_back({text.size(), text.size() + span.text.size()});
    text += span.text;
  }
  return tokenizer_.encode_guarded(text, user);
}

Result<Generation> TextModel::generate(const std::vector<int32_t>& tokens, int64_t limit,
                                       Sampler& sampler,
                                       const std::function<void(std::string_view)>& emit,
                                       const std::function<bool()>& stopped) {
  if (static_cast<int64_t>(tokens.size()) >= engine_.context())
    return usage_error("the prompt has " + std::to_string(tokens.size()) + " tokens, the context " +
                       std::to_string(engine_.context()) + " (-c makes it larger, up to " +
                       std::to_string(engine_.description().context_length) + ")");
  // At least the last token is computed again: its logits are what is asked for.
  const auto same =
      std::mismatch(tokens.begin(), tokens.end() - 1, cached_.begin(), cached_.end()).first;
  const auto known = same - tokens.begin();
  engine_.rewind(known);
  cached_.assign(tokens.begin(), same);

  Generation g;
  auto start = std::chrono::steady_clock::now();
  const auto rest = std::span(tokens).subspan(static_cast<size_t>(known));
  if (auto r = engine_.forward(rest); !r) return r.error();
  cached_ = tokens;
  g.prompt_tokens = static_cast<int64_t>(rest.size());
  g.prompt_seconds = seconds_since(start);

  start = std::chrono::steady_clock::now();
  StreamDecoder decoder(tokenizer_, StreamDecoder::Place::continuation);
  const auto& eos = engine_.description().eos_ids;
  while (g.generated_tokens < limit) {
    if (stopped && stopped()) {
      g.stop = StopReason::interrupted;
      break;
    }
    const int32_t token = sampler.next(engine_.logits());
    g.generated_tokens++;
    if (std::find(eos.begin(), eos.end(), token) != eos.end()) {
      g.stop = StopReason::end_of_text;
      break;
    }
    const std::string piece = decoder.push(token);
    g.text += piece;
    if (emit && !piece.empty()) emit(piece);
    if (g.generated_tokens == limit) break;
    if (engine_.position() == engine_.context()) {
      g.stop = StopReason::context_full;
      break;
    }
    if (auto r = engine_.forward(std::span(&token, 1)); !r) return r.error();
    cached_.push_back(token);
  }
  const std::string tail = decoder.finish();
  g.text += tail;
  if (emit && !tail.empty()) emit(tail);
  g.decode_seconds = seconds_since(start);
  return g;
}

}  // namespace sqf
