#pragma once
// Keys and values of past positions, f32. Memory is reserved for the whole context and taken by
// the system page by page as positions are written; unwritten positions read as 0.

#include <cstddef>
#include <cstdint>

#include "format/result.hpp"
#include "runtime/cpu/ops.hpp"

namespace sqf {

/// Owns the memory. Move-only. Different (layer, head) caches may be used by different threads.
class KvCache {
 public:
  /// Room for `positions` of `layers` x `heads` heads of `dim`. Errors: io, with the bytes asked
  /// for.
  static Result<KvCache> create(int64_t layers, int64_t heads, int64_t dim, int64_t positions);
  KvCache() = default;
  KvCache(KvCache&& other) noexcept;
  KvCache& operator=(KvCache&& other) noexcept;
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;
  ~KvCache();

  HeadCache head(int64_t layer, int64_t head) const {
    float* keys = memory_ + (layer * heads_ + head) * 2 * capacity_ * dim_;
    return {keys, keys + capacity_ * dim_};
  }

 private:
  float* memory_ = nullptr;
  size_t bytes_ = 0;
  int64_t heads_ = 0, dim_ = 0, capacity_ = 0;  ///< capacity in positions, a multiple of 16
};

}  // namespace sqf
