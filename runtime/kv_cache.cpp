#include "runtime/kv_cache.hpp"

#include <sys/mman.h>

#include <string>
#include <utility>

namespace sqf {

Result<KvCache> KvCache::create(int64_t layers, int64_t heads, int64_t dim, int64_t positions) {
  KvCache cache;
  cache.heads_ = heads;
  cache.dim_ = dim;
  cache.capacity_ = (positions + 15) / 16 * 16;
  uint64_t bytes = sizeof(float) * 2;
  for (const int64_t factor : {layers, heads, dim, cache.capacity_})
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(factor), &bytes))
      return io_error("the context's cache would not fit any memory");
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return io_error("no memory for the context's cache: " + std::to_string(bytes >> 20) +
                    " MiB for " + std::to_string(positions) + " positions (-c makes it smaller)");
  cache.memory_ = static_cast<float*>(memory);
  cache.bytes_ = bytes;
  return cache;
}

KvCache::KvCache(KvCache&& other) noexcept {
  *this = std::move(other);
}

KvCache& KvCache::operator=(KvCache&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  std::swap(heads_, other.heads_);
  std::swap(dim_, other.dim_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

KvCache::~KvCache() {
  if (memory_ != nullptr) ::munmap(memory_, bytes_);
}

}  // namespace sqf
