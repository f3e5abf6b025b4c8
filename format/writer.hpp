#pragma once
// Writes one file, streaming: the sizes of everything are known first, the bytes come once, in
// order. The target appears whole (format/pending_file.hpp) and only if it would open.

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "format/directory.hpp"
#include "format/hash.hpp"
#include "format/head.hpp"
#include "format/pending_file.hpp"

namespace sqf {

struct HeadSection {
  SectionKind kind;
  std::string bytes;
};

struct WriterOptions {
  bool replace = false;  ///< an existing target may be replaced (by rename; mappings of it live on)
  bool compress = false;  ///< sections of text become zstd frames, where that is shorter
};

/// One column part of a tensor that is to be laid down.
struct PartLayout {
  uint32_t column_set = 0;  ///< of the tensor's input
  EncodingRecord encoding = {};
  bool column_factors = false, row_sums = false;
};

/// What a tensor is to be made of.
struct TensorLayout {
  std::string name;
  std::vector<uint64_t> shape;  ///< outermost first
  uint32_t input = kNone;
  std::vector<PartLayout> parts;
  uint32_t rank = 0;                  ///< of the low-rank pair; 0: none
  Element factor_type = Element::i8;  ///< of its factors: i8 with scales, or f16
  bool bias = false;
};

/// Adds tensors to a directory in the order in which their bytes will stand in the file, and
/// brings the result into the canonical order of records.
class DirectoryBuilder {
 public:
  uint32_t encoding(const EncodingRecord& record);  ///< index; equal records share one
  /// Index; never shared by value. Components are laid down here, before those of the tensors that
  /// come after: the smoothing vector where there is a smoothing state, then the lists of the sets.
  uint32_t input(InputRecord record);
  /// Components are laid down in the order of each_stored().
  void tensor(const TensorLayout& layout);
  /// A tensor of one part over all columns.
  void tensor(const std::string& name, std::span<const uint64_t> shape, uint32_t input,
              const EncodingRecord& encoding, bool bias = false);
  Directory finish();

 private:
  uint32_t component(const ComponentShape& shape);
  PartRecord part(const PartLayout& layout, const MatrixShape& shape, uint64_t columns);
  struct Named {
    std::string name;
    TensorRecord record;
    std::vector<PartRecord> parts;
  };
  Directory directory_;
  std::vector<Named> tensors_;
};

/// Bytes go in component by component, in directory order, in pieces of any size. Not thread-safe.
/// A writer destroyed before finish() leaves nothing behind.
class Writer {
 public:
  /// Lays the file out (component offsets are set here), checks free space, creates and sizes the
  /// temporary. Errors: io (target exists, not writable, disk full: with both sizes), usage.
  static Result<Writer> create(const std::filesystem::path& target, Directory directory,
                               std::vector<HeadSection> sections, const WriterOptions& options);
  Writer(Writer&& other) noexcept = default;
  Writer& operator=(Writer&&) = delete;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() = default;

  uint64_t file_size() const { return header_.file_size; }
  /// The next bytes of the components, padding of each included, gaps between them not.
  Result<void> append(std::span<const std::byte> bytes);
  /// Precondition: every component is complete. Writes the head, syncs, reads it back, renames.
  /// Errors: io; malformed with its rule when the head breaks one (a section that is too long).
  Result<void> finish();

  // finish() in two steps, for who keeps a record of what is about to appear.
  Result<uint64_t> seal();  ///< all of it but the rename; the hash in the header
  Result<void> put_in_place() { return file_->put_in_place(); }

 private:
  Writer() = default;
  Result<void> put(std::span<const std::byte> bytes);
  Result<void> flush();

  std::filesystem::path target_;
  std::optional<PendingFile> file_;
  Header header_ = {};
  std::vector<SectionRecord> sections_;
  std::vector<HeadSection> contents_;
  Directory directory_;
  size_t component_ = 0;       ///< the one being filled
  uint64_t in_component_ = 0;  ///< bytes of it so far
  uint64_t position_ = 0;      ///< file offset of the next byte
  Hasher component_hash_, leaf_hash_;
  uint64_t in_leaf_ = 0;
  std::vector<uint64_t> leaves_;
  std::vector<std::byte> buffer_;
  uint64_t buffer_at_ = 0;
};

}  // namespace sqf
