#include <cstring>

#include "format/hash.hpp"
#include "format/rules.hpp"
#include "format/text.hpp"
#include "format/validate.hpp"

namespace sqf {
namespace {

/// The name of the tensor that a component belongs to; empty for an input's. Linear: only for
/// messages.
std::string_view owner(const Directory& d, uint32_t component) {
  for (const TensorRecord& t : d.tensors) {
    bool mine = false;
    each_stored(d, t, [&](uint32_t, uint32_t index, const char*) { mine |= index == component; });
    if (mine) return d.name(t);
  }
  return {};
}

/// Progress over DATA: half of it for the checksums, half for the values.
class Pass {
 public:
  Pass(const Head& head, std::span<const std::byte> file, Findings& findings,
       const ProgressFn& progress)
      : head_(head), file_(file), findings_(findings), progress_(progress) {}

  void run() {
    if (leaves() && components()) values();
  }

 private:
  uint64_t data_size() const { return head_.data_end() - head_.data_begin(); }

  /// False: stop, enough was found or the caller has had enough.
  bool go_on(uint64_t done) const {
    return !findings_.full() && (!progress_ || progress_(std::min(done, data_size())));
  }

  bool leaves() {
    const auto data = file_.subspan(head_.data_begin());
    const auto stored = head_.section_bytes(SectionKind::chks);
    const uint64_t chunk = head_.chunk_bytes();
    for (uint64_t i = 0; i * chunk < data.size(); i++) {
      uint64_t expected = 0;
      std::memcpy(&expected, stored.data() + i * 8, 8);
      const uint64_t length = std::min(chunk, data.size() - i * chunk);
      const uint64_t offset = head_.data_begin() + i * chunk;
      if (hash_bytes(data.subspan(i * chunk, length)) != expected)
        findings_.add(broken(Rule::leaf_hash,
                             "chunk " + decimal(i) + ", bytes from " + decimal(offset) + " on")
                          .at(offset));
      if (!go_on((i + 1) * chunk / 2)) return false;
    }
    return true;
  }

  bool components() {
    uint64_t end = head_.data_begin();
    const Directory& d = head_.directory;
    for (uint32_t i = 0; i < d.components.size() && !findings_.full(); i++) {
      const ComponentRecord& c = d.components[i];
      const auto nonzero = [&] {
        for (uint64_t at = end; at < c.offset; at++)
          if (file_[at] != std::byte{0}) return true;
        return false;
      }();
      if (nonzero) {
        findings_.add(broken(Rule::data_padding,
                             "before component " + decimal(i) + ", from byte " + decimal(end))
                          .at(end));
      } else if (hash_bytes(file_.subspan(c.offset, c.size)) != c.hash) {
        const std::string_view name = owner(d, i);
        findings_.add(broken(Rule::component_hash,
                             "component " + decimal(i) +
                                 (name.empty() ? " of an input" : " of " + in_quotes(name)))
                          .at(c.offset)
                          .of(name));
      }
      end = c.offset + c.size;
    }
    return go_on(data_size() / 2);
  }

  void values() {
    uint64_t done = data_size() / 2;
    for (const TensorRecord& t : head_.directory.tensors) {
      check_tensor_values(head_, file_, t, findings_);
      for (uint32_t p = t.part_first; p < t.part_first + t.part_count; p++)
        done += head_.directory.components[head_.directory.parts[p].planes[0]].size / 2;
      if (!go_on(done)) return;
    }
    check_input_values(head_, file_, findings_);
    go_on(data_size());
  }

  const Head& head_;
  std::span<const std::byte> file_;
  Findings& findings_;
  const ProgressFn& progress_;
};

}  // namespace

std::vector<Error> validate_data(const Head& head, std::span<const std::byte> file,
                                 size_t max_findings, const ProgressFn& progress) {
  Findings findings(max_findings);
  Pass(head, file, findings, progress).run();
  return std::move(findings).take();
}

PartView part_view(const Head& head, std::span<const std::byte> file, const TensorRecord& tensor,
                   const PartRecord& part, uint64_t expert) {
  const Directory& d = head.directory;
  const MatrixShape m = matrix_shape(tensor);
  PartView view;
  view.encoding = d.encodings[part.encoding];
  view.rows = static_cast<int64_t>(m.rows);
  view.columns = static_cast<int64_t>(part_columns(d, tensor, part));
  const auto slice = [&](uint32_t component) -> const std::byte* {
    if (component == kNone) return nullptr;
    const ComponentRecord& c = d.components[component];
    return file.data() + c.offset + c.size / m.experts * expert;
  };
  for (size_t i = 0; i < kMaxPlanes; i++) view.planes[i] = slice(part.planes[i]);
  view.scales = slice(part.scales);
  view.row_factors = reinterpret_cast<const float*>(slice(part.row_factors));
  view.zeros = slice(part.zeros);
  return view;
}

}  // namespace sqf
