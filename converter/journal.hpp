#pragma once
// What a long conversion has worked out so far, kept in a folder beside its output, so that a run
// that was killed is continued at the layer it was at and ends in the same bytes. The folder is
// bound by a key to one piece of work, and locked by who works in it. Refuses folders of other
// work (naming what differs), in use, or with files that are not its own; what is damaged or was
// torn off is dropped and worked out again.
//   key, inputs, stream   "SQFWORK1", u64 hash of the key, u64 tag, payload, u64 XXH3-64 of it all
//   tensors               the first 24 bytes of those, then records, each with a hash of its own:
//                         sites whose search is through, tensors that are rounded
//   stats.sqc             as sqconv calibrate writes it

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "converter/calibration/window_store.hpp"
#include "converter/tensor_job.hpp"
#include "format/json.hpp"

namespace sqf {

inline constexpr const char* kSpillName = "spill";

class Journal {
 public:
  enum class Existing : uint8_t { refuse, resume, discard };

  /// `key`: an object of words by what they are of; all that shapes the output's bytes. Makes the
  /// folder where there is none. Errors: usage (another key, a folder that may not be used), io,
  /// malformed (a damaged key).
  static Result<std::unique_ptr<Journal>> open(const std::filesystem::path& folder, const Json& key,
                                               Existing existing);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal();

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path statistics() const { return folder_ / "stats.sqc"; }
  std::filesystem::path spill() const { return folder_ / kSpillName; }  ///< as WindowStore's file
  /// Nothing that took time is in it.
  bool empty() const;

  /// None: not kept, or not of this plan. Errors of the others: io.
  std::optional<std::vector<InputChoice>> choices(const Plan& plan) const;
  Result<void> keep_choices(std::span<const InputChoice> choices);

  /// One input's choice while others are still searched for. None: not kept. Errors: as tensor().
  Result<std::optional<InputChoice>> site(const Plan& plan, size_t input) const;
  Result<void> keep_site(size_t input, const InputChoice& choice);

  bool has(const TensorPlan& tensor) const { return records_.contains(tensor.spec.name); }
  /// Of a tensor that it has. Errors: io, malformed (changed since the folder was opened, or not of
  /// this plan).
  Result<EncodedTensor> tensor(const TensorPlan& tensor) const;
  Result<void> add(const TensorPlan& tensor, const EncodedTensor& encoded);

  /// The first layer of which a tensor is missing; the count of layers: none is.
  int64_t layers_done(const Plan& plan) const;
  /// Into `streams`; the layer that they are at the start of, at most `most`. None: untouched.
  /// Errors: as those of the store.
  Result<std::optional<int64_t>> streams(int64_t most, WindowStore* streams) const;
  /// In the place of those before. All tensors added so far are safe on the disk first.
  Result<void> keep_streams(int64_t layer, WindowStore& streams);

  /// The output is about to appear, with this hash in its header.
  Result<void> keep_finished(uint64_t header_hash);
  std::optional<uint64_t> finished() const { return finished_; }
  /// Removes the folder. What stays after an error of it is in nobody's way.
  void remove();

 private:
  struct Record {
    uint64_t offset = 0, size = 0;
  };
  Journal(std::filesystem::path folder, Json key);
  Result<void> lock();
  Result<void> begin(Existing existing);
  Result<void> check_key(const std::filesystem::path& file);
  Result<void> open_records();
  Result<uint64_t> scan(uint64_t size);
  Result<void> read_at(uint64_t offset, std::span<std::byte> out) const;
  Result<void> append(std::span<const std::byte> bytes);
  Result<void> add_record(const std::string& name, const QuantizeStats& stats,
                          const std::vector<std::span<const std::byte>>& components);
  /// Whole and as it was written, without its hash. Errors: io, malformed.
  Result<std::vector<std::byte>> read_record(const std::string& name) const;
  static std::span<const std::byte> record_components(std::span<const std::byte> record);
  Error other_record(const std::string& name, const char* what) const;
  Result<void> sync();
  Result<void> save(const char* name, uint64_t tag, std::span<const std::byte> payload) const;
  Error failed(const char* what, const char* name) const;

  std::filesystem::path folder_;
  std::string key_;
  uint64_t key_hash_ = 0;
  int lock_ = -1, records_fd_ = -1;
  uint64_t end_ = 0;  ///< of the records
  double synced_ = 0;
  std::optional<uint64_t> finished_;
  std::map<std::string, Record> records_;
};

}  // namespace sqf
