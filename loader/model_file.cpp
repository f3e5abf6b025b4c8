#include "loader/model_file.hpp"

#include <algorithm>

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

}  // namespace sqf
