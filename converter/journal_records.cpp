// The tensors of a journal, and before them the sites that a search has settled: appended one by
// one, each behind a head and before a hash of its own. Reading ends at the first record that is
// not whole.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "converter/journal.hpp"
#include "converter/journal_file.hpp"
#include "format/hash.hpp"

namespace sqf {
namespace {

constexpr uint64_t kRecordMagic = 0x32534e4554465153;  // "SQFTENS2"
constexpr uint64_t kFirstRecord = sizeof(SealedHead) + 8;
constexpr size_t kPiece = size_t{1} << 20;
constexpr double kSyncSeconds = 2;  // what a power failure may cost

/// Then u64 size of each component, the name, the components, u64 hash of all before it.
struct RecordHead {
  uint64_t magic = 0, bytes = 0;  ///< of the whole record
  uint64_t name = 0, components = 0;
  double squared_error = 0, energy = 0;
  int64_t zero_rows = 0, saturated = 0, underflowed = 0, lifted_zeros = 0;
  double unclipped_error = 0, clipped_error = 0;
  int64_t clipped = 0;
};

/// Sizes that a record can have in a file with so many bytes from its start on.
bool is_possible(const RecordHead& head, uint64_t left) {
  return head.magic == kRecordMagic && head.bytes <= left && head.name <= 4096 &&
         head.components <= 256 &&
         head.bytes >= sizeof head + 8 * head.components + head.name + sizeof(uint64_t);
}

double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

QuantizeStats stats_of(const RecordHead& head) {
  return {head.squared_error,   head.energy,        head.zero_rows,
          head.saturated,       head.underflowed,   head.lifted_zeros,
          head.unclipped_error, head.clipped_error, head.clipped};
}

}  // namespace

Result<void> Journal::open_records() {
  const auto path = folder_ / "tensors";
  records_fd_ = ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  struct stat info = {};
  bool good = records_fd_ >= 0 && ::fstat(records_fd_, &info) == 0 && S_ISREG(info.st_mode);
  if (records_fd_ < 0 && errno != ENOENT) return failed("open", "tensors");
  const uint64_t size = good ? static_cast<uint64_t>(info.st_size) : 0;
  std::vector<std::byte> front(kFirstRecord);
  if (good && size >= kFirstRecord) {
    if (auto r = read_at(0, front); !r) return r;
    const auto sealed = open_sealed(front);
    good = sealed && sealed->key == key_hash_;
  } else {
    good = false;
  }
  if (!good) {
    // Gone, or damaged from the first byte on: begun anew.
    if (records_fd_ >= 0) ::close(records_fd_);
    if (auto r = save("tensors", 0, {}); !r) return r;
    records_fd_ = ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (records_fd_ < 0) return failed("open", "tensors");
    end_ = kFirstRecord;
    return {};
  }
  auto end = scan(size);
  if (!end) return end.error();
  end_ = *end;
  if (end_ < size && ::ftruncate(records_fd_, static_cast<off_t>(end_)) != 0)
    return failed("cut off what is damaged", "tensors");
  synced_ = clock_seconds();
  return {};
}

/// Finds the records up to the first that is not whole; where that begins.
Result<uint64_t> Journal::scan(uint64_t size) {
  uint64_t at = kFirstRecord;
  std::vector<std::byte> piece(kPiece);
  while (size - at >= sizeof(RecordHead)) {
    RecordHead head;
    if (auto r = read_at(at, std::as_writable_bytes(std::span(&head, 1))); !r) return r.error();
    if (!is_possible(head, size - at)) break;
    std::string name(head.name, '\0');
    if (auto r = read_at(at + sizeof head + 8 * head.components,
                         std::as_writable_bytes(std::span(name)));
        !r)
      return r.error();
    Hasher hasher;
    const uint64_t end = at + head.bytes - 8;
    for (uint64_t from = at; from < end; from += kPiece) {
      const auto part = std::span(piece).first(std::min<uint64_t>(kPiece, end - from));
      if (auto r = read_at(from, part); !r) return r.error();
      hasher.update(part);
    }
    uint64_t hash = 0;
    if (auto r = read_at(end, std::as_writable_bytes(std::span(&hash, 1))); !r) return r.error();
    if (hash != hasher.digest() || !records_.emplace(name, Record{at, head.bytes}).second) break;
    at += head.bytes;
  }
  return at;
}

Result<void> Journal::read_at(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(records_fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("read", "tensors");
    if (n == 0) return io_error((folder_ / "tensors").string() + ": ends too early");
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Error Journal::other_record(const std::string& name, const char* what) const {
  return malformed((folder_ / "tensors").string() + ": the record of \"" + name + "\" " + what +
                   "; --force starts anew");
}

Result<std::vector<std::byte>> Journal::read_record(const std::string& name) const {
  const Record record = records_.at(name);
  std::vector<std::byte> bytes(record.size);
  if (auto r = read_at(record.offset, bytes); !r) return r.error();
  uint64_t hash = 0;
  std::memcpy(&hash, bytes.data() + bytes.size() - 8, 8);
  bytes.erase(bytes.end() - 8, bytes.end());
  RecordHead head;
  std::memcpy(&head, bytes.data(), sizeof head);
  if (hash_bytes(bytes) != hash || !is_possible(head, record.size) || head.bytes != record.size)
    return other_record(name, "has changed");
  return bytes;
}

std::span<const std::byte> Journal::record_components(std::span<const std::byte> record) {
  RecordHead head;
  std::memcpy(&head, record.data(), sizeof head);
  return record.subspan(sizeof head + 8 * head.components + head.name);
}

Result<EncodedTensor> Journal::tensor(const TensorPlan& plan) const {
  const std::string& name = plan.spec.name;
  auto record = read_record(name);
  if (!record) return record.error();
  RecordHead head;
  std::memcpy(&head, record->data(), sizeof head);
  EncodedTensor out = room_for(plan);
  out.stats = stats_of(head);
  const auto rooms = out.components();
  if (head.components != rooms.size())
    return other_record(name, "has other components than were planned");
  std::vector<uint64_t> sizes(rooms.size());
  if (!sizes.empty()) std::memcpy(sizes.data(), record->data() + sizeof head, 8 * sizes.size());
  auto rest = record_components(*record);
  for (size_t i = 0; i < rooms.size(); i++) {
    if (sizes[i] != rooms[i].size() || sizes[i] > rest.size())
      return other_record(name, "has a component of another size than was planned");
    // The room is this function's own.
    std::memcpy(const_cast<std::byte*>(rooms[i].data()), rest.data(), sizes[i]);
    rest = rest.subspan(sizes[i]);
  }
  const bool sums = std::isfinite(head.squared_error) && std::isfinite(head.energy) &&
                    head.squared_error >= 0 && head.energy >= 0 &&
                    std::isfinite(head.unclipped_error) && std::isfinite(head.clipped_error);
  if (!rest.empty() || !sums) return other_record(name, "is not as it was written");
  return out;
}

Result<void> Journal::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(records_fd_, bytes.data(), bytes.size(), static_cast<off_t>(end_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("write", "tensors");
    if (n == 0) return io_error((folder_ / "tensors").string() + ": no bytes were taken");
    bytes = bytes.subspan(static_cast<size_t>(n));
    end_ += static_cast<uint64_t>(n);
  }
  return {};
}

Result<void> Journal::add(const TensorPlan& plan, const EncodedTensor& encoded) {
  return add_record(plan.spec.name, encoded.stats, encoded.components());
}

Result<void> Journal::add_record(const std::string& name, const QuantizeStats& s,
                                 const std::vector<std::span<const std::byte>>& components) {
  RecordHead head = {kRecordMagic,      0,
                     name.size(),       components.size(),
                     s.squared_error,   s.energy,
                     s.zero_rows,       s.saturated,
                     s.underflowed,     s.lifted_zeros,
                     s.unclipped_error, s.clipped_error,
                     s.clipped};
  std::vector<uint64_t> sizes;
  for (const auto component : components) sizes.push_back(component.size());
  head.bytes = sizeof head + 8 * sizes.size() + name.size() + sizeof(uint64_t);
  for (const uint64_t size : sizes) head.bytes += size;
  std::vector<std::span<const std::byte>> pieces = {std::as_bytes(std::span(&head, 1)),
                                                    std::as_bytes(std::span(sizes)),
                                                    std::as_bytes(std::span(name))};
  pieces.insert(pieces.end(), components.begin(), components.end());
  Hasher hasher;
  for (const auto piece : pieces) hasher.update(piece);
  const uint64_t hash = hasher.digest();
  pieces.push_back(std::as_bytes(std::span(&hash, 1)));
  const uint64_t begin = end_;
  for (const auto piece : pieces)
    if (auto r = append(piece); !r) {
      // Room for others on a disk that is full; whether that succeeds does not matter.
      [[maybe_unused]] const int cut = ::ftruncate(records_fd_, static_cast<off_t>(begin));
      end_ = begin;
      return r;
    }
  records_.emplace(name, Record{begin, head.bytes});
  return clock_seconds() - synced_ > kSyncSeconds ? sync() : Result<void>();
}

Result<void> Journal::sync() {
  while (::fsync(records_fd_) != 0)
    if (errno != EINTR) return failed("sync", "tensors");
  synced_ = clock_seconds();
  return {};
}

}  // namespace sqf
