#include "format/writer.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "format/rules.hpp"
#include "format/test_vectors.hpp"
#include "format/zstd.hpp"

namespace sqf {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr uint64_t kLargeFile = uint64_t{64} << 20;  // from here on DATA starts at a 2 MiB boundary

SectionRecord section_record(SectionKind kind, uint64_t offset, uint64_t size) {
  SectionRecord s = {};
  s.kind = kind;
  s.flags = is_required(kind) ? uint32_t{section_critical} : 0u;
  s.offset = offset;
  s.stored_size = s.raw_size = size;
  return s;
}

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Replaces the bytes of a section by a zstd frame of them, where that is shorter.
void compress(HeadSection& section, SectionRecord& record) {
  std::string frame = compress_frame(section.bytes);
  if (frame.empty() || frame.size() >= section.bytes.size()) return;
  record.flags |= section_compressed;
  record.codec = 1;
  record.stored_size = frame.size();
  record.raw_hash = hash_bytes(as_bytes(section.bytes));
  section.bytes = std::move(frame);
}

/// Sets component offsets from `begin` on; returns the end.
uint64_t place_components(Directory& directory, uint64_t begin, uint64_t align) {
  uint64_t end = begin;
  for (ComponentRecord& c : directory.components) {
    c.offset = (end + align - 1) / align * align;
    end = c.offset + c.size;
  }
  return end;
}

}  // namespace

Result<Writer> Writer::create(const std::filesystem::path& target, Directory directory,
                              std::vector<HeadSection> sections, const WriterOptions& options) {
  Writer w;
  Header& h = w.header_;
  h.magic = kMagic;
  h.major = kMajor;
  h.minor = kMinor;
  h.header_size = sizeof(Header);
  h.section_table_offset = sizeof(Header);
  h.section_entry_size = sizeof(SectionRecord);
  h.comp_align_log2 = 6;
  h.chunk_log2 = 20;
  h.hash_kind = HashKind::xxh3_64;
  h.tensor_count = static_cast<uint32_t>(directory.tensors.size());

  const uint64_t data_bytes = place_components(directory, 0, 64);
  h.data_align_log2 = data_bytes > kLargeFile ? 21 : 12;
  const uint64_t leaves = (data_bytes + (uint64_t{1} << h.chunk_log2) - 1) >> h.chunk_log2;
  sections.push_back({SectionKind::encv, make_test_vectors(directory.encodings)});
  sections.push_back({SectionKind::tdir, std::string(serialize(directory).size(), '\0')});
  sections.push_back({SectionKind::chks, std::string(leaves * 8, '\0')});
  uint64_t end = kFirstSection;
  std::erase_if(sections, [](const HeadSection& s) { return s.bytes.empty(); });
  for (HeadSection& s : sections) {
    if (s.bytes.size() > section_limit(s.kind)) {
      Error error =
          broken(Rule::section_size, section_name(s.kind) + ": " + std::to_string(s.bytes.size()) +
                                         " bytes, limit " + std::to_string(section_limit(s.kind)));
      error.message = target.string() + ": would not open: " + error.message;
      return error;
    }
    const uint64_t start = section_start(h, s.kind, end);
    SectionRecord record = section_record(s.kind, start, s.bytes.size());
    if (options.compress && is_compressible(s.kind)) compress(s, record);
    if ((record.flags & section_compressed) != 0) h.feature_incompat |= kIncompatZstd;
    w.sections_.push_back(record);
    end = start + record.stored_size;
  }
  if (end > kMaxHeadBytes) return usage_error("the head would be longer than 1 GiB");
  h.head_size = end;
  const uint64_t data_begin = section_start(h, SectionKind::data, end);
  h.file_size = place_components(directory, data_begin, 64);
  w.sections_.push_back(section_record(SectionKind::data, data_begin, h.file_size - data_begin));
  h.section_count = static_cast<uint32_t>(w.sections_.size());
  Findings findings(1);
  validate_directory(directory, data_begin, h.file_size, 64, findings);
  if (!findings.empty()) return findings.first();

  auto file = PendingFile::create(target, h.file_size, options.replace);
  if (!file) return file.error();
  w.target_ = target;
  w.file_.emplace(std::move(*file));
  w.contents_ = std::move(sections);
  w.directory_ = std::move(directory);
  w.position_ = w.buffer_at_ = data_begin;
  w.buffer_.reserve(kBufferBytes);
  return w;
}

Result<void> Writer::flush() {
  if (auto r = file_->write(buffer_, buffer_at_); !r) return r;
  buffer_at_ += buffer_.size();
  buffer_.clear();
  return {};
}

Result<void> Writer::put(std::span<const std::byte> bytes) {
  const uint64_t chunk = uint64_t{1} << header_.chunk_log2;
  position_ += bytes.size();
  for (auto rest = bytes; !rest.empty();) {
    const auto piece = rest.first(std::min<uint64_t>(rest.size(), chunk - in_leaf_));
    leaf_hash_.update(piece);
    in_leaf_ += piece.size();
    if (in_leaf_ == chunk) {
      leaves_.push_back(leaf_hash_.digest());
      leaf_hash_.reset();
      in_leaf_ = 0;
    }
    rest = rest.subspan(piece.size());
  }
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kBufferBytes - buffer_.size()));
    buffer_.insert(buffer_.end(), piece.begin(), piece.end());
    bytes = bytes.subspan(piece.size());
    if (buffer_.size() == kBufferBytes)
      if (auto r = flush(); !r) return r;
  }
  return {};
}

Result<void> Writer::append(std::span<const std::byte> bytes) {
  static constexpr std::array<std::byte, 4096> kZeros = {};
  while (!bytes.empty()) {
    assert(component_ < directory_.components.size());
    ComponentRecord& c = directory_.components[component_];
    if (in_component_ == 0)
      if (auto r = put(std::span(kZeros).first(c.offset - position_)); !r) return r;
    const auto piece = bytes.first(std::min<uint64_t>(bytes.size(), c.size - in_component_));
    component_hash_.update(piece);
    if (auto r = put(piece); !r) return r;
    in_component_ += piece.size();
    bytes = bytes.subspan(piece.size());
    if (in_component_ == c.size) {
      c.hash = component_hash_.digest();
      component_hash_.reset();
      component_++;
      in_component_ = 0;
    }
  }
  return {};
}

Result<void> Writer::finish() {
  if (auto sealed = seal(); !sealed) return sealed.error();
  return put_in_place();
}

Result<uint64_t> Writer::seal() {
  assert(component_ == directory_.components.size());
  if (auto r = flush(); !r) return r.error();
  if (in_leaf_ > 0) leaves_.push_back(leaf_hash_.digest());
  const auto directory = serialize(directory_);
  for (HeadSection& s : contents_) {
    if (s.kind == SectionKind::tdir)
      std::memcpy(s.bytes.data(), directory.data(), directory.size());
    if (s.kind == SectionKind::chks)
      std::memcpy(s.bytes.data(), leaves_.data(), leaves_.size() * 8);
  }
  uint64_t leaf_table = 0;
  for (size_t i = 0; i < contents_.size(); i++) {
    sections_[i].stored_hash = hash_bytes(as_bytes(contents_[i].bytes));
    if ((sections_[i].flags & section_compressed) == 0)
      sections_[i].raw_hash = sections_[i].stored_hash;
    if (contents_[i].kind == SectionKind::chks) leaf_table = sections_[i].stored_hash;
    if (auto r = file_->write(as_bytes(contents_[i].bytes), sections_[i].offset); !r)
      return r.error();
  }
  sections_.back().stored_hash = sections_.back().raw_hash = leaf_table;
  const auto table = std::as_bytes(std::span(sections_));
  if (auto r = file_->write(table, sizeof(Header)); !r) return r.error();
  if (auto r = file_->sync(); !r) return r.error();

  header_.section_table_hash = hash_bytes(table);
  header_.complete = kComplete;
  const auto header = std::as_bytes(std::span(&header_, 1));
  header_.header_hash = hash_bytes(header.first(sizeof(Header) - 8));
  if (auto r = file_->write(header, 0); !r) return r.error();
  if (auto r = file_->sync(); !r) return r.error();
  // A file that no reader would open must not take the place of one that is good.
  const auto opens = [&](std::span<const std::byte> bytes) -> Result<void> {
    auto head = read_head(bytes);
    if (head) return {};
    Error error = head.error();
    error.message = target_.string() + ": would not open: " + error.message;
    return error;
  };
  if (auto r = file_->inspect(opens); !r) return r.error();
  return header_.header_hash;
}

}  // namespace sqf
