#include "converter/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "converter/journal_file.hpp"
#include "format/hash.hpp"
#include "format/pending_file.hpp"
#include "format/scalar.hpp"
#include "format/text.hpp"

namespace sqf {
namespace {

namespace fs = std::filesystem;

constexpr std::array kFiles = {"stream", "inputs", "stats.sqc", "tensors", "key", kSpillName};

/// A file of the folder's, or what a killed run left of one.
bool is_ours(const std::string& file) {
  return std::ranges::any_of(kFiles, [&](const std::string& name) {
    return file == name || file.starts_with("." + name + ".tmp-");
  });
}

/// The first word in which two keys differ; empty where they are equal.
std::string difference(const Json& theirs, const Json& ours) {
  const auto word = [](const Json& key, const std::string& name) {
    const auto found = key.find(name);
    return found == key.end() ? std::string("nothing") : found->dump().substr(0, 80);
  };
  for (const Json* key : {&ours, &theirs})
    for (const auto& [name, value] : key->items())
      if (const std::string then = word(theirs, name), now = word(ours, name); then != now)
        return name + " was " + then + ", is " + now;
  return "";
}

}  // namespace

Journal::Journal(fs::path folder, Json key) : folder_(std::move(folder)), key_(key.dump()) {
  key_hash_ = hash_bytes(std::as_bytes(std::span(key_)));
}

Journal::~Journal() {
  if (records_fd_ >= 0) ::close(records_fd_);
  if (lock_ >= 0) ::close(lock_);
}

Error Journal::failed(const char* what, const char* name) const {
  return io_error((folder_ / name).string() + ": cannot " + what + ": " + std::strerror(errno));
}

Result<std::unique_ptr<Journal>> Journal::open(const fs::path& folder, const Json& key,
                                               Existing existing) {
  std::unique_ptr<Journal> journal(new Journal(folder, key));
  if (auto r = journal->lock(); !r) return r.error();
  if (auto r = journal->begin(existing); !r) return r.error();
  if (auto r = journal->open_records(); !r) return r.error();
  return journal;
}

Result<void> Journal::lock() {
  if (::mkdir(folder_.c_str(), 0777) != 0 && errno != EEXIST) return failed("make the folder", "");
  lock_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (lock_ < 0) return failed("open the folder", "");
  // A file system without locks leaves it to the user.
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    return usage_error(folder_.string() + ": another run is at work on it");
  return {};
}

Result<void> Journal::begin(Existing existing) {
  std::error_code error;
  bool used = false;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!is_ours(name))
      return usage_error(folder_.string() + ": holds " + in_quotes(name) +
                         ", which is not of sqconv");
    used = used || name == "key";
  }
  if (error) return io_error(folder_.string() + ": cannot list it: " + error.message());
  if (used && existing == Existing::refuse)
    return usage_error(folder_.string() +
                       ": from an earlier run: --resume continues it, --force starts anew");
  if (used && existing == Existing::resume) return check_key(folder_ / "key");
  for (const char* name : {"key", "stream", "inputs", "stats.sqc", "tensors"})
    if (::unlink((folder_ / name).c_str()) != 0 && errno != ENOENT) return failed("remove", name);
  if (auto r = save("tensors", 0, {}); !r) return r;
  return save("key", 0, std::as_bytes(std::span(key_)));
}

/// The key of what is in the folder must be that of what is to be done.
Result<void> Journal::check_key(const fs::path& file) {
  auto mapping = Mapping::open(file);
  if (!mapping) return mapping.error();
  const auto sealed = open_sealed(mapping->bytes());
  if (!sealed) return malformed(file.string() + ": is damaged; --force starts anew");
  auto theirs = parse_json(std::string_view(reinterpret_cast<const char*>(sealed->payload.data()),
                                            sealed->payload.size()),
                           file.string());
  if (!theirs) return theirs.error();
  auto ours = parse_json(key_, "key");
  if (!theirs->is_object() || !ours) return malformed(file.string() + ": is no key");
  if (const std::string other = difference(*theirs, *ours); !other.empty())
    return usage_error(folder_.string() + ": of another conversion: " + other +
                       "; --force starts anew");
  if (sealed->tag != 0) finished_ = sealed->tag;
  return {};
}

Result<void> Journal::save(const char* name, uint64_t tag,
                           std::span<const std::byte> payload) const {
  const auto whole = [&](uint64_t) -> Result<std::span<const std::byte>> { return payload; };
  return save_sealed(folder_ / name, key_hash_, tag, {1, payload.size(), whole});
}

bool Journal::empty() const {
  std::error_code ignored;
  return records_.empty() && !fs::exists(statistics(), ignored) &&
         !fs::exists(folder_ / "inputs", ignored);
}

int64_t Journal::layers_done(const Plan& plan) const {
  int64_t layer = plan.description.layers;
  for (const TensorPlan& t : plan.tensors)
    if (t.spec.layer >= 0 && !has(t)) layer = std::min(layer, t.spec.layer);
  return layer;
}

Result<std::optional<int64_t>> Journal::streams(int64_t most, WindowStore* streams) const {
  const std::optional<int64_t> none;
  auto mapping = Mapping::open(folder_ / "stream");
  if (!mapping) return none;
  const auto sealed = open_sealed(mapping->bytes());
  const int64_t count = streams->windows() * streams->numbers();
  if (!sealed || sealed->key != key_hash_ || sealed->tag > static_cast<uint64_t>(most) ||
      sealed->payload.size() != 4 * static_cast<uint64_t>(count))
    return none;
  for (int64_t i = 0; i < count; i++)
    if (!std::isfinite(load<float>(sealed->payload.data(), i))) return none;
  std::vector<float> room;
  const auto size = 4 * static_cast<size_t>(streams->numbers());
  for (int64_t window = 0; window < streams->windows(); window++) {
    float* const to = streams->place(window, &room);
    std::memcpy(to, sealed->payload.data() + static_cast<size_t>(window) * size, size);
    if (auto r = streams->save(window, to); !r) return r.error();
  }
  return std::optional(static_cast<int64_t>(sealed->tag));
}

Result<void> Journal::keep_streams(int64_t layer, WindowStore& streams) {
  if (auto r = sync(); !r) return r;
  std::vector<float> room;
  const auto piece = [&](uint64_t window) -> Result<std::span<const std::byte>> {
    auto x = streams.load(static_cast<int64_t>(window), &room);
    if (!x) return x.error();
    return std::as_bytes(std::span(*x, static_cast<size_t>(streams.numbers())));
  };
  return save_sealed(folder_ / "stream", key_hash_, static_cast<uint64_t>(layer),
                     {static_cast<uint64_t>(streams.windows()),
                      4 * static_cast<uint64_t>(streams.windows() * streams.numbers()), piece});
}

Result<void> Journal::keep_finished(uint64_t header_hash) {
  return save("key", header_hash, std::as_bytes(std::span(key_)));
}

void Journal::remove() {
  // The key goes last: until then it says that the work was finished.
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error))
    if (const fs::path name = at->path().filename(); name != "key" && is_ours(name.string()))
      files.push_back(at->path());
  files.push_back(folder_ / "key");
  for (const fs::path& file : files) ::unlink(file.c_str());
  ::rmdir(folder_.c_str());
}

}  // namespace sqf
