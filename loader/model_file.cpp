#include "loader/model_file.hpp"

#include <algorithm>
#include <cstring>

#include "format/hash.hpp"
#include "format/rules.hpp"

namespace sqf {

Result<ModelFile> ModelFile::open(const std::filesystem::path& path) {
  auto mapping = Mapping::open(path);
  if (!mapping) return mapping.error();
  auto head = read_head(mapping->bytes());
  if (!head) {
    Error error = head.error();
    error.message = path.string() + ": " + error.message;
    return error;
  }
  ModelFile file;
  file.mapping_ = std::move(*mapping);
  file.head_ = std::move(*head);
  return file;
}

TensorView ModelFile::tensor(size_t index) const {
  const TensorRecord& record = head_.directory.tensors[index];
  return {head_.directory.name(record), &record, matrix_shape(record)};
}

std::optional<TensorView> ModelFile::find(std::string_view name) const {
  const auto& all = head_.directory.tensors;
  const auto found = std::lower_bound(
      all.begin(), all.end(), name,
      [&](const TensorRecord& t, auto wanted) { return head_.directory.name(t) < wanted; });
  if (found == all.end() || head_.directory.name(*found) != name) return std::nullopt;
  return tensor(static_cast<size_t>(found - all.begin()));
}

PartView ModelFile::part(const TensorView& tensor, uint32_t index, uint64_t expert) const {
  const PartRecord& record = head_.directory.parts[tensor.record->part_first + index];
  return part_view(head_, bytes(), *tensor.record, record, expert);
}

std::span<const std::byte> ModelFile::component(uint32_t index) const {
  const ComponentRecord& c = head_.directory.components[index];
  return bytes().subspan(c.offset, c.size);
}

std::vector<Error> ModelFile::verify(size_t max_findings, const ProgressFn& progress) const {
  return validate_data(head_, bytes(), max_findings, progress);
}

void ModelFile::verify_on_touch() {
  const uint64_t leaves = head_.section_bytes(SectionKind::chks).size() / sizeof(uint64_t);
  chunks_ = std::make_unique<std::atomic<ChunkState>[]>(leaves);
}

Result<void> ModelFile::touch(std::span<const std::byte> range) const {
  if (chunks_ == nullptr || range.empty()) return {};
  const auto begin = static_cast<uint64_t>(range.data() - bytes().data()) - head_.data_begin();
  const uint64_t chunk_bytes = head_.chunk_bytes();
  for (uint64_t i = begin / chunk_bytes; i <= (begin + range.size() - 1) / chunk_bytes; i++)
    if (!chunk_is_good(i))
      return broken(Rule::leaf_hash, "chunk " + std::to_string(i) + ", bytes from " +
                                         std::to_string(head_.data_begin() + i * chunk_bytes) +
                                         " on");
  return {};
}

bool ModelFile::chunk_is_good(uint64_t chunk) const {
  // Relaxed: the bytes are mapped read-only and no other memory hangs on the state. Two threads may
  // hash the same chunk; a failure, once seen, is never replaced.
  std::atomic<ChunkState>& state = chunks_[chunk];
  ChunkState known = state.load(std::memory_order_relaxed);
  if (known != ChunkState::unknown) return known == ChunkState::good;
  uint64_t expected = 0;
  std::memcpy(&expected, head_.section_bytes(SectionKind::chks).data() + chunk * sizeof expected,
              sizeof expected);
  const auto data = bytes().subspan(head_.data_begin());
  const uint64_t begin = chunk * head_.chunk_bytes();
  const auto chunk_data =
      data.subspan(begin, std::min<uint64_t>(head_.chunk_bytes(), data.size() - begin));
  if (hash_bytes(chunk_data) != expected) {
    state.store(ChunkState::bad, std::memory_order_relaxed);
    return false;
  }
  return state.compare_exchange_strong(known, ChunkState::good, std::memory_order_relaxed) ||
         known == ChunkState::good;
}

}  // namespace sqf
