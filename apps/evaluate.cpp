#include "apps/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "apps/perplexity.hpp"
#include "converter/calibration/block.hpp"
#include "converter/calibration/statistics.hpp"
#include "runtime/thread_pool.hpp"

namespace sqf {
namespace {

/// The first windows of the chosen lines.
Result<CalibrationTokens> read_windows(const SourceModel& source, const std::filesystem::path& text,
                                       const EvaluateOptions& o) {
  if (o.window < 2 || o.windows < 1)
    return usage_error("an evaluation takes at least one window of two tokens");
  CalibrationOptions all;
  all.purpose = "evaluation";
  all.length = o.window;
  all.tokens = std::numeric_limits<int64_t>::max();
  all.first_percent = o.first_percent;
  all.last_percent = o.last_percent;
  auto tokens = read_calibration(source.tokenizer_json, text, all);
  if (!tokens) return tokens.error();
  tokens->windows = std::min(tokens->windows, o.windows);
  tokens->ids.resize(static_cast<size_t>(tokens->windows * tokens->length));
  return tokens;
}

Error stopped() {
  return {Code::interrupted, "evaluation stopped before it was complete", 0};
}

Json perplexity_json(const WindowMean& nll) {
  return {{"perplexity", std::exp(nll.mean)},
          {"nll", nll.mean},
          {"standard_error", nll.standard_error}};
}

class Evaluation {
 public:
  Evaluation(const SourceModel& source, const ModelDescription& description,
             const CalibrationTokens& tokens, const EvaluateOptions& options)
      : source_(source),
        tokens_(tokens),
        options_(options),
        context_(description, tokens.length),
        pool_(options.threads),
        layers_(static_cast<uint64_t>(description.layers)),
        windows_(static_cast<uint64_t>(tokens.windows)) {}

  /// The residual streams of all windows behind the last block, block by block.
  Result<void> run_source() {
    const ModelDescription& d = context_.description;
    x_.resize(tokens_.ids.size() * static_cast<size_t>(d.hidden_size));
    if (auto r = embed_tokens(source_, d, tokens_.ids, x_.data()); !r) return r;
    std::vector<BlockScratch> scratch;
    const int64_t team = std::min<int64_t>(pool_.size(), tokens_.windows);
    for (int64_t i = 0; i < team; i++) scratch.emplace_back(context_);
    for (int64_t layer = 0; layer < d.layers; layer++) {
      auto block = Block::read(source_, context_, layer);
      if (!block) return block.error();
      for (int64_t first = 0; first < tokens_.windows; first += team) {
        const int64_t count = std::min(team, tokens_.windows - first);
        pool_.run([&](int share, int shares) {
          const Slice mine(count, share, shares);
          for (int64_t i = mine.begin; i < mine.end; i++)
            block->forward(context_, stream(first + i), scratch[static_cast<size_t>(i)],
                           [](int64_t, const float*, int64_t, int64_t) {});
        });
        if (!go_on(static_cast<uint64_t>(layer) * windows_ + static_cast<uint64_t>(first + count)))
          return stopped();
      }
    }
    return {};
  }

  /// The file's logits beside the source's, a few tokens at a time.
  Result<void> compare(Engine& engine) {
    auto head = OutputHead::read(source_, context_.description);
    if (!head) return head.error();
    const auto vocab = static_cast<size_t>(context_.description.vocab_size);
    std::vector<float> logits;
    std::vector<TokenComparison> compared;
    for (int64_t w = 0; w < tokens_.windows; w++) {
      const auto window = tokens_.window(w);
      const auto piece = [&](int64_t first, int64_t count) -> Result<void> {
        logits.resize(static_cast<size_t>(count) * vocab);
        compared.resize(static_cast<size_t>(count));
        float* x = stream(w) + first * context_.description.hidden_size;
        pool_.run([&](int share, int shares) {
          const Slice mine(count, share, shares);
          const auto begin = static_cast<size_t>(mine.begin), end = static_cast<size_t>(mine.end);
          head->forward(x + mine.begin * context_.description.hidden_size, mine.end - mine.begin,
                        logits.data() + begin * vocab);
          for (size_t i = begin; i < end; i++)
            compared[i] = compare_token(std::span(logits).subspan(i * vocab, vocab),
                                        engine.logits(static_cast<int64_t>(i)),
                                        window[static_cast<size_t>(first) + i + 1]);
        });
        return take(w, first, compared);
      };
      source_nll_.push_back(0);
      file_nll_.push_back(0);
      divergence_.push_back(0);
      if (auto r = visit_logits(engine, window, piece); !r) return r;
      const auto scored = static_cast<double>(tokens_.length - 1);
      for (auto* sums : {&source_nll_, &file_nll_, &divergence_}) sums->back() /= scored;
      if (!go_on((windows_ + static_cast<uint64_t>(w) + 1) * layers_)) return stopped();
    }
    return {};
  }

  Json json() {
    std::vector<double> differences;
    Json windows = Json::array();
    for (size_t w = 0; w < source_nll_.size(); w++) {
      differences.push_back(file_nll_[w] - source_nll_[w]);
      windows.push_back(
          {{"source", source_nll_[w]}, {"file", file_nll_[w]}, {"kl", divergence_[w]}});
    }
    const WindowMean increase = window_mean(differences);
    const auto count = static_cast<double>(divergences_.size());
    const auto rank = static_cast<size_t>(std::ceil(0.99 * count)) - 1;
    std::sort(divergences_.begin(), divergences_.end());
    return {{"text", text_to_json(tokens_.text)},
            {"windows", tokens_.windows},
            {"length", tokens_.length},
            {"tokens", divergences_.size()},
            {"source", perplexity_json(window_mean(source_nll_))},
            {"file", perplexity_json(window_mean(file_nll_))},
            {"increase",
             {{"percent", std::expm1(increase.mean) * 100},
              {"standard_error_percent", std::exp(increase.mean) * increase.standard_error * 100}}},
            {"kl",
             {{"mean", window_mean(divergence_).mean},
              {"p99", divergences_[rank]},
              {"max", divergences_.back()}}},
            {"top1_agreement", static_cast<double>(same_top_) / count},
            {"per_window", windows}};
  }

 private:
  float* stream(int64_t window) {
    return x_.data() + window * context_.length * context_.description.hidden_size;
  }

  /// Both halves of the work are about as long: each window counts its layers in both.
  bool go_on(uint64_t done) {
    return !options_.progress || options_.progress(done, 2 * layers_ * windows_);
  }

  Result<void> take(int64_t window, int64_t first, std::span<const TokenComparison> compared) {
    for (size_t i = 0; i < compared.size(); i++) {
      const TokenComparison& c = compared[i];
      const bool source = std::isfinite(c.source_nll), file = std::isfinite(c.file_nll);
      if (!source || !file || !std::isfinite(c.divergence))
        return malformed(std::string(source ? "the file" : "the source") +
                         "'s logits are not finite: window " + std::to_string(window) + ", token " +
                         std::to_string(first + static_cast<int64_t>(i)));
      source_nll_.back() += c.source_nll;
      file_nll_.back() += c.file_nll;
      divergence_.back() += c.divergence;
      divergences_.push_back(c.divergence);
      same_top_ += c.same_top ? 1 : 0;
    }
    return {};
  }

  const SourceModel& source_;
  const CalibrationTokens& tokens_;
  const EvaluateOptions& options_;
  const BlockContext context_;
  ThreadPool pool_;
  const uint64_t layers_, windows_;
  std::vector<float> x_;                                    ///< [windows][length][hidden]
  std::vector<double> source_nll_, file_nll_, divergence_;  ///< [windows], means
  std::vector<double> divergences_;                         ///< of all tokens
  int64_t same_top_ = 0;
};

/// Errors (usage): what cannot be compared.
Result<void> check(const ModelDescription& source, const ModelDescription& file,
                   const CalibrationTokens& tokens, const EvaluateOptions& o) {
  if (file.vocab_size != source.vocab_size || file.layers != source.layers ||
      file.hidden_size != source.hidden_size)
    return usage_error(
        "the file is of another model than the source: " + std::to_string(file.layers) +
        " layers, hidden size " + std::to_string(file.hidden_size) + ", " +
        std::to_string(file.vocab_size) + " tokens, the source has " +
        std::to_string(source.layers) + ", " + std::to_string(source.hidden_size) + ", " +
        std::to_string(source.vocab_size));
  if (tokens.length > source.context_length)
    return usage_error("evaluation windows of " + std::to_string(tokens.length) +
                       " tokens, the model's context is " + std::to_string(source.context_length));
  EvaluateOptions actual = o;
  actual.windows = tokens.windows;
  const uint64_t needed = evaluation_memory(source, actual);
  if (o.memory_limit != 0 && needed > o.memory_limit)
    return usage_error("evaluation on " + std::to_string(tokens.windows) + " windows of " +
                       std::to_string(tokens.length) + " tokens takes " +
                       std::to_string(needed / 1000000) + " MB, the limit is " +
                       std::to_string(o.memory_limit / 1000000) +
                       " MB: fewer windows, or a higher limit");
  return {};
}

}  // namespace

uint64_t evaluation_memory(const ModelDescription& d, const EvaluateOptions& o) {
  StatisticsOptions team;
  team.threads = std::max(o.threads, 1);
  const auto hidden = static_cast<double>(d.hidden_size), vocab = static_cast<double>(d.vocab_size);
  const double streams =
      4 * static_cast<double>(o.windows) * static_cast<double>(o.window) * hidden;
  const auto rows = static_cast<double>(std::min(kLogitTokens, o.window));
  return std::max(statistics_memory(d, o.windows, o.window, team),
                  static_cast<uint64_t>(streams + 4 * vocab * (hidden + rows)));
}

Result<Json> evaluate(const SourceModel& source, const std::filesystem::path& file,
                      const std::filesystem::path& text, const EvaluateOptions& options) {
  auto description = description_from_config(source.config, source.generation_config);
  if (!description) return description.error();
  auto tokens = read_windows(source, text, options);
  if (!tokens) return tokens.error();
  auto opened = ModelFile::open(file);
  if (!opened) return opened.error();
  EngineOptions of_engine;
  of_engine.threads = std::max(options.threads, 1);
  of_engine.exact = options.exact;
  of_engine.context = options.window;
  auto engine = Engine::create(*opened, of_engine);
  if (!engine) return engine.error();
  if (auto r = check(*description, engine->description(), *tokens, options); !r) return r.error();
  Evaluation evaluation(source, *description, *tokens, options);
  if (auto r = evaluation.run_source(); !r) return r.error();
  if (auto r = evaluation.compare(*engine); !r) return r.error();
  return evaluation.json();
}

}  // namespace sqf
