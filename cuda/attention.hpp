#pragma once
// Attention over the cache on the GPU: which kernel takes a pass, over how many blocks the
// positions are split, and the memory in which these meet. A launch does not depend on where the
// pass stands, so that it can be recorded once.

#include "cuda/device.hpp"
#include "cuda/kernels/attention_shape.hpp"

namespace sqf {

/// Numbers of a head that the kernels take: multiples of this up to kMaxHeadDim.
inline constexpr int64_t kHeadDimStep = 8;

class Attention {
 public:
  /// `max_tokens` of a pass. Errors: io (memory), unsupported (a GPU with too little of the
  /// shared).
  static Result<Attention> make(const Device& device, int64_t heads, int64_t kv_heads, int64_t dim,
                                int64_t context, int64_t max_tokens);

  /// `arguments` with q, keys, values, position and out.
  Result<void> run(AttentionArguments arguments, int64_t tokens) const;

 private:
  struct Grid {
    bool many;
    unsigned blocks, splits;  ///< rows of a KV head; positions
  };
  Grid grid_of(int64_t tokens) const;

  const Device* device_ = nullptr;
  int64_t heads_ = 0, kv_heads_ = 0, dim_ = 0, context_ = 0;
  int padded_ = 0;
  CUfunction few_ = nullptr, many_ = nullptr;
  DeviceMemory partial_, statistics_, tickets_;
};

}  // namespace sqf
