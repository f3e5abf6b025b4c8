#include "format/text.hpp"
#include "model/tokenizer.hpp"

namespace sqf {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, Place place)
    : tokenizer_(tokenizer),
      first_(place == Place::beginning),
      n_strip_(place == Place::beginning ? tokenizer.decoder_.n_strip() : 0) {}

std::string StreamDecoder::push(int32_t id, bool show_special) {
  if (!show_special && tokenizer_.is_special(id)) return {};
  const std::string_view token = tokenizer_.token_text(id);
  const TokenDecoder& decoder = tokenizer_.decoder_;
  pending_ += first_ ? decoder.first_bytes(token) : decoder.bytes(token);
  first_ = false;
  std::string text;
  std::string_view rest = pending_;
  while (true) {
    const Utf8Run run = next_utf8_run(rest);
    if (run.n_bytes == 0) break;
    text += run.valid ? rest.substr(0, run.n_bytes) : kReplacement;
    rest.remove_prefix(run.n_bytes);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return strip(std::move(text));
}

std::string StreamDecoder::finish() {
  if (pending_.empty()) return {};
  pending_.clear();
  return strip(std::string(kReplacement));
}

std::string StreamDecoder::strip(std::string text) {
  const std::string_view content = tokenizer_.decoder_.strip_content();
  size_t n_bytes = 0;
  while (n_strip_ > 0 && n_bytes < text.size()) {
    if (!std::string_view(text).substr(n_bytes).starts_with(content)) {
      n_strip_ = 0;
      break;
    }
    n_bytes += content.size();
    --n_strip_;
  }
  return text.erase(0, n_bytes);
}

}  // namespace sqf
