#include "converter/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <optional>

namespace sqf {
namespace {

constexpr uint64_t kMega = 1000000;
// Exponents side by side in the search for the model's one, and the model itself.
constexpr uint64_t kCandidates = 13;

std::string megabytes(uint64_t bytes) {
  return std::to_string((bytes + kMega - 1) / kMega) + " MB";
}

/// Adds up what stages of a conversion hold.
class Estimate {
 public:
  Estimate(const Plan& plan, const MemoryOptions& options) : plan_(plan), o_(options) {
    const ModelDescription& d = plan.description;
    hidden_ = number(d.hidden_size);
    inner_ = number(d.intermediate_size);
    heads_ = number(d.heads * d.head_dim);
    values_ = number(d.kv_heads * d.head_dim);
    for (const TensorPlan& t : plan.tensors) add(t);
  }

  ConversionMemory worst() const {
    ConversionMemory out;
    uint64_t disk = 0;
    for (const auto& stage : {calibration(), search(), rounding()}) {
      disk = std::max(disk, stage.disk);
      if (stage.bytes() > out.bytes()) out = stage;
    }
    out.disk = disk;
    out.program = program().bytes;
    std::erase_if(out.parts, [](const MemoryPart& part) { return part.bytes == 0; });
    std::ranges::stable_sort(out.parts, std::greater(), &MemoryPart::bytes);
    return out;
  }

 private:
  static uint64_t number(int64_t value) { return static_cast<uint64_t>(value); }

  void add(const TensorPlan& t) {
    const uint64_t weights = number(t.spec.rows) * number(t.spec.columns);
    const uint64_t sum = number(t.spec.rows) + number(t.spec.columns);
    // A tile's weights, what is rounded of them, and the buffers of rounding.
    const uint64_t tile = number(t.spec.columns) * (3 * 16 * 4 + 512);
    tensor_ = std::max(tensor_, t.bytes + t.bytes / 8 + number(o_.threads) * tile);
    if (t.low_rank.rank > 0)
      low_rank_ = std::max(low_rank_, 8 * weights + 32 * (number(t.low_rank.rank) + 32) * sum);
    if (t.spec.layer >= 0) matrix_ = std::max(matrix_, 4 * weights);
    if (t.method == Method::gptq) widest_ = std::max(widest_, number(t.spec.columns));
    if (is_coded(t.method) && t.range == Range::clip)
      blocks_ = std::max(blocks_, number(t.spec.columns) * number(group_of(t)));
  }

  static int64_t group_of(const TensorPlan& t) {
    return grouping(t.encoding, t.spec.columns - t.outliers).length;
  }
  uint64_t team(int64_t windows) const {
    return number(std::clamp<int64_t>(o_.threads, 1, std::max<int64_t>(windows, 1)));
  }
  MemoryPart program() const {
    return {"the program, the tokenizer and the text", "",
            12 * kMega + 6 * o_.tokenizer_bytes + 6 * o_.text_bytes};
  }
  /// So many numbers of each token: of all windows, or of those at hand.
  MemoryPart streams(int64_t windows, uint64_t numbers, const char* lower) const {
    if (o_.spill)
      return {"the streams of the windows at hand", "--threads or --calib-window",
              4 * team(windows) * number(o_.length) * numbers};
    return {"the residual streams", lower, carried(windows, numbers)};
  }
  uint64_t carried(int64_t windows, uint64_t numbers) const {
    return 4 * number(windows * o_.length) * numbers;
  }
  uint64_t spilled(int64_t windows, uint64_t numbers) const {
    return o_.spill ? carried(windows, numbers) : 0;
  }
  MemoryPart block() const {
    return {"a decoder block in f32", "", 4 * hidden_ * (2 * heads_ + 2 * values_ + 3 * inner_)};
  }
  MemoryPart scratch(int64_t windows) const {
    const uint64_t wide = 2 * hidden_ + 2 * heads_ + 2 * values_ + 2 * inner_ + 64;
    return {"the threads' activations", "--threads or --calib-window",
            4 * team(windows) * number(o_.length) * wide};
  }

  ConversionMemory calibration() const {
    if (!o_.statistics) return {};
    return {
        {program(), streams(o_.windows, hidden_, "--calib-tokens"), block(), scratch(o_.windows)},
        0,
        spilled(o_.windows, hidden_)};
  }

  ConversionMemory search() const {
    const SmoothingSpec& spec = plan_.smoothing;
    if (spec.method == SmoothMethod::none || spec.alpha || o_.search_windows == 0) return {};
    const bool whole = spec.method == SmoothMethod::smoothquant_plus;
    // Candidates side by side; or one, and what sites read and answer.
    const uint64_t numbers =
        whole ? kCandidates * hidden_ : 2 * hidden_ + std::max({hidden_, heads_, inner_});
    MemoryPart activations = scratch(o_.search_windows);
    if (whole) activations.bytes *= kCandidates;
    return {{program(),
             streams(o_.search_windows, numbers, "--search-tokens"),
             block(),
             activations,
             {"the largest tensor, rounded", "--threads", tensor_ + matrix_}},
            0,
            spilled(o_.search_windows, numbers)};
  }

  ConversionMemory rounding() const {
    MemoryPart pair = {"the work of low-rank pairs", "--lorc", low_rank_};
    MemoryPart tensor = {"the largest tensor, rounded", "--threads", tensor_};
    if (widest_ == 0 && blocks_ == 0) return {{program(), tensor, pair}, 0};
    // The sums in f64, those of each thread, and the factor of the input before; or two factors.
    const uint64_t each = 8 + 4 * team(o_.windows) + 4;
    MemoryPart gram = {"the Gram matrix of " + std::to_string(widest_) + " channels", "--threads",
                       widest_ * widest_ * each};
    if (blocks_ * each > gram.bytes)
      gram = {"the Gram matrices of groups", "--group", blocks_ * each};
    tensor.bytes += matrix_;
    // A journal has the streams once, and once more while it puts newer ones in their place.
    return {{program(), streams(o_.windows, hidden_, "--calib-tokens"), block(),
             scratch(o_.windows), gram, tensor, pair},
            0,
            spilled(o_.windows, hidden_) * (o_.journal ? 3 : 1)};
  }

  const Plan& plan_;
  const MemoryOptions& o_;
  uint64_t hidden_ = 0, inner_ = 0, heads_ = 0, values_ = 0;
  uint64_t tensor_ = 0, low_rank_ = 0, matrix_ = 0;  ///< bytes of the largest of each
  uint64_t widest_ = 0;                              ///< columns that GPTQ rounds together
  uint64_t blocks_ = 0;  ///< numbers of an input's Gram matrix over its groups
};

/// The number in a file of one, or behind `name` in one of many; none where it cannot be read.
std::optional<uint64_t> number_in(const char* path, const std::string& name) {
  std::ifstream file(path);
  std::string word;
  uint64_t value = 0;
  while (!name.empty() && file >> word && word != name) {
  }
  if (file >> value) return value;
  return std::nullopt;
}

/// What the system can give, as far as it says so.
uint64_t available() {
  uint64_t least = std::numeric_limits<uint64_t>::max();
  if (const auto kilobytes = number_in("/proc/meminfo", "MemAvailable:")) least = 1024 * *kilobytes;
  const auto limit = number_in("/sys/fs/cgroup/memory.max", "");
  const auto used = number_in("/sys/fs/cgroup/memory.current", "");
  // What the group's files have in memory is given up first.
  const uint64_t files = number_in("/sys/fs/cgroup/memory.stat", "file").value_or(0);
  if (limit && used) {
    const uint64_t held = *used - std::min(*used, files);
    least = std::min(least, *limit - std::min(*limit, held));
  }
  return least;
}

}  // namespace

uint64_t ConversionMemory::bytes() const {
  uint64_t sum = 0;
  for (const MemoryPart& part : parts) sum += part.bytes;
  return sum;
}

ConversionMemory conversion_memory(const Plan& plan, const MemoryOptions& options) {
  return Estimate(plan, options).worst();
}

std::string memory_text(const ConversionMemory& memory) {
  return "about " + megabytes(memory.bytes()) + " of memory, " + megabytes(memory.parts[0].bytes) +
         " of them for " + memory.parts[0].what +
         (memory.disk > 0 ? ", and " + megabytes(memory.disk) +
                                " of disk beside the output for the residual streams"
                          : "");
}

Json memory_json(const ConversionMemory& memory) {
  Json parts = Json::array();
  for (const MemoryPart& part : memory.parts)
    parts.push_back({{"what", part.what}, {"bytes", part.bytes}});
  return {{"bytes", memory.bytes()}, {"parts", parts}, {"disk", memory.disk}};
}

Result<void> check_memory(const ConversionMemory& memory, uint64_t limit) {
  if (limit == 0 || memory.bytes() <= limit) return {};
  std::string how = "a higher limit";
  for (const MemoryPart& part : memory.parts)
    if (!part.lower.empty()) {
      how = "lower " + part.lower + ", or " + how;
      break;
    }
  return usage_error("the conversion takes " + memory_text(memory) + "; the limit is " +
                     megabytes(limit) + " (--mem-limit): " + how);
}

Result<void> try_memory(const ConversionMemory& memory) {
  const uint64_t bytes = memory.bytes() - memory.program, there = available();
  if (bytes > there)
    return io_error("the conversion takes " + memory_text(memory) + "; the system has " +
                    megabytes(there) + " left");
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  void* const room = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (room == MAP_FAILED)
    return io_error("the conversion takes " + memory_text(memory) +
                    "; the system does not give that much");
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  for (uint64_t at = 0; at < bytes; at += page) static_cast<volatile char*>(room)[at] = 1;
  ::munmap(room, bytes);
  return {};
}

}  // namespace sqf
