// What lets a conversion that was killed be continued: the folder beside the output, and the words
// that bind it to one conversion.

#include <algorithm>
#include <cstdio>

#include "apps/sqconv.hpp"
#include "converter/convert.hpp"
#include "converter/journal.hpp"
#include "converter/recipe.hpp"
#include "format/hash.hpp"
#include "loader/model_file.hpp"

namespace sqf {
namespace {

namespace fs = std::filesystem;

std::string hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::string hash_text(const std::string& text) {
  return hex(hash_bytes(std::as_bytes(std::span(text))));
}

/// Names, types, shapes, and the first, middle and last bytes of all tensors: tells trainings of
/// one architecture apart without reading them.
std::string hash_weights(const SourceModel& source) {
  constexpr size_t kSample = 4096;
  Hasher hasher;
  for (const SourceTensor& t : source.tensors) {
    hasher.update(std::as_bytes(std::span(t.name)));
    hasher.update(std::as_bytes(std::span(&t.type, 1)));
    hasher.update(std::as_bytes(std::span(t.shape)));
    const size_t size = t.bytes.size(), count = std::min(size, kSample);
    for (const size_t at : {size_t{0}, (size - count) / 2, size - count})
      hasher.update(t.bytes.subspan(at, count));
  }
  return hex(hasher.digest());
}

/// Everything that shapes the bytes of the output, by what it is called on the command line.
Result<Json> work_key(const ConversionArguments& a, const SourceModel& source,
                      const CalibrationTokens* tokens) {
  Json files = Json::array();
  for (const SourceFile& file : source.files)
    files.push_back({file.name, file.size, hash_text(file.name)});
  const std::string texts = source.config.dump() + source.config_text + source.tokenizer_json +
                            source.chat_template + source.licence + source.tokenizer_config.dump() +
                            source.generation_config.dump();
  Json key = {{"program", kWriterName},
              {"model's files", files},
              {"model's weights", hash_weights(source)},
              {"model's texts", hash_text(texts)},
              {"--method", a.method},
              {"--head", a.head},
              {"--lorc-type", a.lorc_type},
              {"--lorc-weight", a.lorc_weight},
              {"--alpha", a.alpha},
              {"--sites", a.sites},
              {"--hessian", a.hessian},
              {"--gptq-order", a.gptq_order},
              {"--damping", a.damping},
              {"--search-tokens", a.search_tokens},
              {"--keep-smoothing", a.keep_smoothing},
              {"--allow-requantize", a.requantize},
              {"--compress", a.compress},
              {"--rule", a.rules}};
  for (const auto& [name, value] : linear_options(a)) key[std::string("--") + name] = *value;
  if (tokens != nullptr) {
    key["--calib"] = text_to_json(tokens->text);
    key["--calib-tokens"] = tokens->windows * tokens->length;
    key["--calib-window"] = tokens->length;
  }
  if (!a.statistics.empty()) {
    auto file = Mapping::open(a.statistics);
    if (!file) return file.error();
    key["--stats"] = hex(hash_bytes(file->bytes()));
  }
  // Names need not be UTF-8; the key must be.
  return parse_json(key.dump(-1, ' ', false, Json::error_handler_t::replace), "key");
}

/// The output is the very file that a run put in place before it could remove its folder.
bool is_in_place(const fs::path& output, uint64_t header_hash) {
  auto file = ModelFile::open(output);
  return file && file->head().header.header_hash == header_hash;
}

}  // namespace

Result<Work> open_work(const ConversionArguments& a, const SourceModel& source,
                       const CalibrationTokens* tokens, bool forward) {
  Work work;
  if (a.dry_run || (!forward && !a.resume)) return work;
  const fs::path folder = a.output + ".work";
  std::error_code ignored;
  const bool there = fs::exists(fs::symlink_status(a.output, ignored));
  // Only who was killed between two last steps leaves the folder empty beside an output.
  if (a.resume && there && !a.force && fs::is_empty(folder, ignored) && !ignored) {
    fs::remove(folder, ignored);
    work.finished = true;
    return work;
  }
  if (there && !a.force && !fs::exists(folder, ignored))
    return io_error(a.output + ": exists already (--force replaces it)");
  auto key = work_key(a, source, tokens);
  if (!key) return key.error();
  const auto existing = a.resume  ? Journal::Existing::resume
                        : a.force ? Journal::Existing::discard
                                  : Journal::Existing::refuse;
  auto journal = Journal::open(folder, *key, existing);
  if (!journal) return journal.error();
  work.journal = std::move(*journal);
  if (const auto hash = work.journal->finished(); hash && is_in_place(a.output, *hash)) {
    work.journal->remove();
    work.finished = true;
  } else if (there && !a.force) {
    return io_error(a.output + ": exists already (--force replaces it)");
  }
  return work;
}

ConversionMemory memory_for(const ConversionArguments& a, const Plan& plan,
                            const SourceModel& source, bool statistics,
                            const CalibrationTokens* tokens) {
  MemoryOptions options;
  options.threads = a.threads;
  options.tokenizer_bytes = source.tokenizer_json.size();
  if (tokens == nullptr) return conversion_memory(plan, options);
  options.windows = tokens->windows;
  options.length = tokens->length;
  options.search_windows =
      std::clamp<int64_t>(a.search_tokens / tokens->length, 1, tokens->windows);
  options.statistics = statistics && a.statistics.empty();
  options.text_bytes = tokens->text.bytes;
  options.journal = needs_of(plan).forward || a.resume;
  const ConversionMemory memory = conversion_memory(plan, options);
  const auto limit = static_cast<uint64_t>(a.calibration.memory_limit) * 1000000;
  if (limit == 0 || memory.bytes() <= limit) return memory;
  options.spill = true;
  return conversion_memory(plan, options);
}

fs::path spill_file(const ConversionArguments& a, const ConversionMemory& memory,
                    const Journal* journal) {
  if (memory.disk == 0) return {};
  return journal != nullptr ? journal->spill() : fs::path(a.output + ".spill");
}

Error stopped(Error error, const ConversionArguments& a, Journal* journal) {
  if (journal == nullptr) return error;
  const bool lasts = error.code == Code::io || error.code == Code::interrupted;
  if (!lasts || journal->empty()) {
    journal->remove();
    return error;
  }
  if (error.code == Code::interrupted)
    error.message = a.output + ": stopped before it was complete";
  error.message +=
      "; the same command with --resume goes on from there (" + journal->folder().string() + ")";
  return error;
}

}  // namespace sqf
