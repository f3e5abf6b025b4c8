#include "cuda/attention.hpp"

#include <algorithm>

namespace sqf {
namespace {

int padded_dim(int64_t dim) {
  return dim <= 64 ? 64 : dim <= 128 ? 128 : kMaxHeadDim;
}

constexpr int64_t kFewRows = attention_shape(64, false).rows();
static_assert(kFewRows == attention_shape(128, false).rows() &&
              kFewRows == attention_shape(256, false).rows());

}  // namespace

Attention::Grid Attention::grid_of(int64_t tokens) const {
  const int64_t rows = tokens * (heads_ / kv_heads_);
  const bool many = rows > kFewRows;
  const AttentionShape shape = attention_shape(padded_, many);
  const int64_t blocks = (rows + shape.rows() - 1) / shape.rows() * kv_heads_;
  // Two blocks for every multiprocessor, as long as each has enough positions at the end.
  const int64_t splits = std::min<int64_t>(2 * device_->multiprocessors() / blocks,
                                           (context_ + shape.least - 1) / shape.least);
  return {many, static_cast<unsigned>(blocks),
          static_cast<unsigned>(std::clamp<int64_t>(splits, 1, shape.most))};
}

Result<Attention> Attention::make(const Device& device, int64_t heads, int64_t kv_heads,
                                  int64_t dim, int64_t context, int64_t max_tokens) {
  Attention made;
  made.device_ = &device;
  made.heads_ = heads, made.kv_heads_ = kv_heads, made.dim_ = dim, made.context_ = context;
  made.padded_ = padded_dim(dim);
  for (const bool many : {false, true}) {
    const AttentionShape shape = attention_shape(made.padded_, many);
    auto kernel =
        device.kernel("attend_" + std::to_string(made.padded_) + (many ? "_many" : "_few"));
    if (!kernel) return kernel.error();
    const auto bytes = static_cast<unsigned>(shape.shared_bytes());
    if (auto r = device.allow_shared(*kernel, bytes); !r) return r.error();
    (many ? made.many_ : made.few_) = *kernel;
  }
  size_t rows = 0, blocks = 0;  // of what is split
  for (int64_t tokens = 1; tokens <= max_tokens; tokens++) {
    const Grid grid = made.grid_of(tokens);
    if (grid.splits == 1) continue;
    const auto of_block = static_cast<size_t>(attention_shape(made.padded_, grid.many).rows());
    rows = std::max(rows, size_t{grid.blocks} * grid.splits * of_block);
    blocks = std::max(blocks, size_t{grid.blocks});
  }
  const std::pair<DeviceMemory*, size_t> list[] = {
      {&made.partial_, rows * static_cast<size_t>(dim) * sizeof(float)},
      {&made.statistics_, rows * 2 * sizeof(float)},
      {&made.tickets_, blocks * sizeof(uint32_t)}};
  for (const auto& [memory, bytes] : list) {
    auto taken = device.allocate(bytes, "activations");
    if (!taken) return taken.error();
    *memory = std::move(*taken);
  }
  if (blocks == 0) return made;
  if (auto r = device.zero(made.tickets_.as(), made.tickets_.size()); !r) return r.error();
  return made;
}

Result<void> Attention::run(AttentionArguments a, int64_t tokens) const {
  const Grid grid = grid_of(tokens);
  const AttentionShape shape = attention_shape(padded_, grid.many);
  a.partial = partial_.as<float>();
  a.statistics = statistics_.as<float>();
  a.tickets = tickets_.as<uint32_t>();
  a.heads = static_cast<int32_t>(heads_);
  a.kv_heads = static_cast<int32_t>(kv_heads_);
  a.dim = static_cast<int32_t>(dim_);
  a.context = static_cast<int32_t>(context_);
  a.tokens = static_cast<int32_t>(tokens);
  return device_->launch(grid.many ? many_ : few_,
                         {grid.blocks, grid.splits, static_cast<unsigned>(shape.threads()),
                          static_cast<unsigned>(shape.shared_bytes())},
                         &a);
}

}  // namespace sqf
