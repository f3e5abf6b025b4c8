#include "runtime/engine.hpp"

#include <algorithm>

#include "runtime/cpu_backend.hpp"

namespace sqf {

Result<Engine> Engine::create(const ModelFile& file, const EngineOptions& options) {
  auto backend = make_cpu_backend(file, options);
  if (!backend) return backend.error();
  return Engine(std::move(*backend));
}

void Engine::rewind(int64_t position) {
  position_ = std::min(position, position_);
}

Result<void> Engine::forward(std::span<const int32_t> tokens, LogitsOf which) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (count == 0) return usage_error("no tokens");
  if (position_ + count > context())
    return usage_error("the context is full: " + std::to_string(position_ + count) +
                       " tokens, room for " + std::to_string(context()));
  for (int32_t token : tokens)
    if (token < 0 || token >= description().vocab_size)
      return usage_error("token " + std::to_string(token) + " is not in the vocabulary");
  if (auto r = backend_->forward(tokens, position_, which); !r) return r;
  position_ += count;
  return {};
}

}  // namespace sqf
