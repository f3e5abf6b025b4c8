#include "tests/fuzz/reseal.hpp"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "format/hash.hpp"
#include "format/head.hpp"
#include "format/zstd.hpp"

namespace sqf {
namespace {

constexpr uint64_t kMaxInflated = uint64_t{1} << 20;

template <typename T>
T load_record(std::span<const std::byte> bytes, uint64_t at) {
  T record;
  std::memcpy(&record, bytes.data() + at, sizeof record);
  return record;
}

template <typename T>
void store_record(std::span<std::byte> bytes, uint64_t at, const T& record) {
  std::memcpy(bytes.data() + at, &record, sizeof record);
}

/// The part of [offset, offset + size) that lies in `file`.
template <typename Byte>
std::span<Byte> clip(std::span<Byte> file, uint64_t offset, uint64_t size) {
  if (offset >= file.size()) return {};
  return file.subspan(offset, std::min<uint64_t>(size, file.size() - offset));
}

size_t table_entries(const Header& header, size_t file_size) {
  if (file_size < sizeof(Header)) return 0;
  const size_t room = (file_size - sizeof(Header)) / sizeof(SectionRecord);
  return std::min<size_t>({header.section_count, room, kMaxSections});
}

/// Where the component records of a TDIR section stand.
struct ComponentTable {
  uint64_t at = 0, count = 0;
};
ComponentTable component_table(std::span<const std::byte> tdir) {
  if (tdir.size() < sizeof(DirectoryHeader)) return {};
  const auto h = load_record<DirectoryHeader>(tdir, 0);
  // 32-bit counts of small records: no wrap.
  const uint64_t at = sizeof h + h.encoding_count * sizeof(EncodingRecord) +
                      h.input_count * sizeof(InputRecord) + h.tensor_count * sizeof(TensorRecord) +
                      h.part_count * sizeof(PartRecord);
  if (at > tdir.size()) return {};
  return {at, std::min<uint64_t>(h.component_count, (tdir.size() - at) / sizeof(ComponentRecord))};
}

/// Log2 of an alignment that cannot blow a file up, whatever the header says.
int log2_within(int value, int low, int high) {
  return std::clamp(value, low, high);
}

Header usable(Header h) {
  h.comp_align_log2 = static_cast<uint8_t>(log2_within(h.comp_align_log2, 6, 12));
  h.data_align_log2 = static_cast<uint8_t>(log2_within(h.data_align_log2, 12, 16));
  h.chunk_log2 = static_cast<uint8_t>(log2_within(h.chunk_log2, 16, 24));
  return h;
}

void move_components(Piece& tdir, uint64_t delta) {
  const ComponentTable table = component_table(tdir.bytes);
  for (uint64_t i = 0; i < table.count; i++) {
    const uint64_t at = table.at + i * sizeof(ComponentRecord);
    auto c = load_record<ComponentRecord>(tdir.bytes, at);
    c.offset += delta;
    store_record<ComponentRecord>(tdir.bytes, at, c);
  }
}

uint64_t raw_size_of(const Piece& piece) {
  if ((piece.record.flags & section_compressed) == 0) return piece.bytes.size();
  const unsigned long long size = ZSTD_getFrameContentSize(piece.bytes.data(), piece.bytes.size());
  const bool known = size != ZSTD_CONTENTSIZE_UNKNOWN && size != ZSTD_CONTENTSIZE_ERROR;
  return known ? size : piece.record.raw_size;
}

/// Sets the hashes of one section; DATA gets those of CHKS.
void seal_section(std::span<const std::byte> bytes, SectionRecord& s) {
  s.stored_hash = hash_bytes(bytes);
  s.raw_hash = s.stored_hash;
  if ((s.flags & section_compressed) == 0 || s.raw_size > kMaxInflated) return;
  if (const auto raw = decompress_frame(bytes, s.raw_size, ""))
    s.raw_hash = hash_bytes(std::as_bytes(std::span(*raw)));
}

void seal_components(std::span<std::byte> file, std::span<std::byte> tdir) {
  const ComponentTable table = component_table(tdir);
  for (uint64_t i = 0; i < table.count; i++) {
    const uint64_t at = table.at + i * sizeof(ComponentRecord);
    auto c = load_record<ComponentRecord>(tdir, at);
    const auto bytes = clip(file, c.offset, c.size);
    if (bytes.size() != c.size) continue;
    c.hash = hash_bytes(bytes);
    store_record(tdir, at, c);
  }
}

void seal_leaves(std::span<const std::byte> data, std::span<std::byte> chks, uint64_t chunk) {
  for (uint64_t i = 0; i < chks.size() / 8 && i * chunk < data.size(); i++)
    store_record(chks, i * 8, hash_bytes(clip(data, i * chunk, chunk)));
}

}  // namespace

Piece* Pieces::find(SectionKind kind) {
  const auto found = std::find_if(sections.begin(), sections.end(),
                                  [&](const Piece& p) { return p.record.kind == kind; });
  return found == sections.end() ? nullptr : &*found;
}

std::optional<Pieces> take_apart(std::span<const std::byte> file) {
  if (file.size() < sizeof(Header)) return std::nullopt;
  Pieces pieces;
  pieces.header = load_record<Header>(file, 0);
  const size_t count = table_entries(pieces.header, file.size());
  for (size_t i = 0; i < count; i++) {
    Piece piece;
    piece.record = load_record<SectionRecord>(file, sizeof(Header) + i * sizeof(SectionRecord));
    const auto bytes = clip(file, piece.record.offset, piece.record.stored_size);
    piece.bytes.assign(bytes.begin(), bytes.end());
    pieces.sections.push_back(std::move(piece));
  }
  return pieces;
}

std::vector<std::byte> put_together(Pieces pieces) {
  Header& h = pieces.header;
  const Header layout = usable(h);
  if (pieces.sections.size() > kMaxSections) pieces.sections.resize(kMaxSections);
  h.section_count = static_cast<uint32_t>(pieces.sections.size());
  Piece* tdir = pieces.find(SectionKind::tdir);
  Piece* data = pieces.find(SectionKind::data);
  if (Piece* chks = pieces.find(SectionKind::chks); chks != nullptr && data != nullptr) {
    const uint64_t chunk = uint64_t{1} << layout.chunk_log2;
    chks->bytes.resize((data->bytes.size() + chunk - 1) / chunk * 8);
  }
  if (tdir != nullptr && tdir->bytes.size() >= sizeof(DirectoryHeader))
    h.tensor_count = load_record<DirectoryHeader>(tdir->bytes, 0).tensor_count;

  uint64_t end = kFirstSection;
  h.head_size = end;
  h.feature_incompat &= ~kIncompatZstd;
  for (Piece& piece : pieces.sections) {
    SectionRecord& s = piece.record;
    const uint64_t start = section_start(layout, s.kind, end);
    if (&piece == data && tdir != nullptr) move_components(*tdir, start - s.offset);
    s.offset = start;
    s.stored_size = piece.bytes.size();
    s.raw_size = raw_size_of(piece);
    end = start + s.stored_size;
    if (s.kind != SectionKind::data) h.head_size = end;
    if ((s.flags & section_compressed) != 0) h.feature_incompat |= kIncompatZstd;
  }
  h.file_size = end;

  std::vector<std::byte> file(end);
  store_record<Header>(file, 0, h);
  for (size_t i = 0; i < pieces.sections.size(); i++) {
    const Piece& piece = pieces.sections[i];
    store_record<SectionRecord>(file, sizeof h + i * sizeof(SectionRecord), piece.record);
    std::copy(piece.bytes.begin(), piece.bytes.end(),
              file.begin() + static_cast<ptrdiff_t>(piece.record.offset));
  }
  return file;
}

void reseal(std::span<std::byte> file) {
  if (file.size() < sizeof(Header)) return;
  auto h = load_record<Header>(file, 0);
  const size_t count = table_entries(h, file.size());
  const auto record_at = [&](size_t i) { return sizeof h + i * sizeof(SectionRecord); };
  std::span<std::byte> tdir, chks, data;
  for (size_t i = 0; i < count; i++) {
    const auto s = load_record<SectionRecord>(file, record_at(i));
    const auto bytes = clip(file, s.offset, s.stored_size);
    if (s.kind == SectionKind::tdir) tdir = bytes;
    if (s.kind == SectionKind::chks) chks = bytes;
    if (s.kind == SectionKind::data) data = bytes;
  }
  // Sections of a damaged table may overlap each other and the table: whatever is hashed last is
  // right, the rest is for the reader to find.
  seal_components(file, tdir);
  seal_leaves(data, chks, uint64_t{1} << usable(h).chunk_log2);
  for (size_t i = 0; i < count; i++) {
    auto s = load_record<SectionRecord>(file, record_at(i));
    seal_section(s.kind == SectionKind::data ? chks : clip(file, s.offset, s.stored_size), s);
    store_record(file, record_at(i), s);
  }
  h = load_record<Header>(file, 0);
  h.section_table_hash = hash_bytes(clip(file, sizeof h, h.section_count * sizeof(SectionRecord)));
  store_record(file, 0, h);
  h.header_hash = hash_bytes(std::span<const std::byte>(file).first(sizeof h - 8));
  store_record(file, 0, h);
}

std::optional<Directory> find_directory(const Piece& tdir) {
  auto directory = parse_directory(tdir.bytes);
  if (!directory) return std::nullopt;
  return *std::move(directory);
}

}  // namespace sqf
