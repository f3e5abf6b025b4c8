#include "converter/calibration/windows.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

#include "converter/calibration/steps.hpp"

namespace sqf {
namespace {

/// The Gram matrix that is asked for, of an input of so many columns.
struct GramShape {
  int64_t columns, block;

  GramShape(const Summed& summed, int64_t input_columns)
      : columns(summed.picked.empty() ? input_columns : static_cast<int64_t>(summed.picked.size())),
        block(summed.block > 0 ? std::min(summed.block, columns) : columns) {}

  size_t numbers() const {
    const int64_t rest = columns % block;
    return static_cast<size_t>((columns - rest) * block + rest * rest);
  }
};

/// Sums of one window; buffers for the widest input.
struct WindowSums {
  std::vector<float> abs_max, gram, picked;
  std::vector<double> abs, square;
  Panels panels;

  WindowSums(int64_t widest, const Summed& summed)
      : abs_max(static_cast<size_t>(widest)),
        gram(summed.gram && widest > 0 ? GramShape(summed, widest).numbers() : 0),
        abs(abs_max.size()),
        square(abs_max.size()) {}

  void sum_up(const float* x, int64_t tokens, int64_t columns, const Summed& summed) {
    std::fill(abs_max.begin(), abs_max.end(), 0.0f);
    std::fill(abs.begin(), abs.end(), 0.0);
    std::fill(square.begin(), square.end(), 0.0);
    for (int64_t t = 0; t < tokens; t++)
      add_channels(x + t * columns, columns, abs_max.data(), abs.data(), square.data());
    if (gram.empty()) return;
    const GramShape shape(summed, columns);
    float* to = gram.data();
    for (int64_t first = 0; first < shape.columns; first += shape.block) {
      const int64_t size = std::min(shape.block, shape.columns - first);
      const float* from = x + first;
      int64_t stride = columns;
      if (!summed.picked.empty()) {
        pick(x, tokens, columns,
             summed.picked.subspan(static_cast<size_t>(first)).first(static_cast<size_t>(size)));
        from = picked.data();
        stride = size;
      }
      panels.resize(tokens, size);
      pack_columns(from, stride, &panels);
      multiply({{from, 1, stride}, size, panels, tokens, size, to, size});
      to += size * size;
    }
  }

 private:
  void pick(const float* x, int64_t tokens, int64_t columns, std::span<const uint32_t> which) {
    picked.clear();
    for (int64_t t = 0; t < tokens; t++)
      for (const uint32_t k : which) picked.push_back(x[t * columns + k]);
  }
};

/// Takes the windows' sums in the order of the windows, whoever computed them. A thread may wait
/// here for windows before its own; these are all being worked on, and the first waits for nobody.
class OrderedSums {
 public:
  OrderedSums(int64_t columns, const Summed& summed) {
    sums.abs_max.resize(static_cast<size_t>(columns));
    sums.abs.resize(sums.abs_max.size());
    sums.square.resize(sums.abs_max.size());
    if (summed.gram) sums.gram.resize(GramShape(summed, columns).numbers());
  }

  void add(int64_t window, const WindowSums& of) {
    std::unique_lock lock(mutex_);
    turned_.wait(lock, [&] { return next_ == window; });
    for (size_t k = 0; k < sums.abs_max.size(); k++) {
      sums.abs_max[k] = std::max(sums.abs_max[k], of.abs_max[k]);
      sums.abs[k] += of.abs[k];
      sums.square[k] += of.square[k];
    }
    for (size_t i = 0; i < sums.gram.size(); i++) sums.gram[i] += static_cast<double>(of.gram[i]);
    next_++;
    turned_.notify_all();
  }

  ChannelSums sums;

 private:
  std::mutex mutex_;
  std::condition_variable turned_;
  int64_t next_ = 0;
};

}  // namespace

Result<Windows> Windows::embed(const SourceModel& source, const BlockContext& context,
                               const CalibrationTokens& tokens, int threads,
                               const std::filesystem::path& spill) {
  Windows out;
  out.context_ = &context;
  out.count_ = tokens.windows;
  const ModelDescription& d = context.description;
  auto store = WindowStore::create(tokens.windows, tokens.length * d.hidden_size, spill);
  if (!store) return store.error();
  out.x_ = std::move(*store);
  std::vector<float> room;
  for (int64_t window = 0; window < tokens.windows; window++) {
    float* const x = out.x_.place(window, &room);
    if (auto r = embed_tokens(source, d, tokens.window(window), x); !r) return r.error();
    if (auto r = out.x_.save(window, x); !r) return r.error();
  }
  const int64_t team = std::min<int64_t>(std::max(threads, 1), tokens.windows);
  for (int64_t i = 0; i < team; i++) out.team_.push_back({BlockScratch(context), {}});
  return out;
}

Result<std::vector<ChannelSums>> Windows::run(const Step& step, const Summed& summed,
                                              const std::function<bool(int64_t)>& go_on) {
  return all(step, summed, go_on, true);
}

Result<std::vector<ChannelSums>> Windows::look(const Step& step, const Summed& summed,
                                               const std::function<bool(int64_t)>& go_on) {
  return all(step, summed, go_on, false);
}

Result<std::vector<ChannelSums>> Windows::all(const Step& step, const Summed& summed,
                                              const std::function<bool(int64_t)>& go_on,
                                              bool changes) {
  std::vector<std::unique_ptr<OrderedSums>> sums;
  int64_t widest = 0;
  for (const int64_t columns : summed.columns) {
    sums.push_back(std::make_unique<OrderedSums>(columns, summed));
    widest = std::max(widest, columns);
  }
  std::vector<WindowSums> rooms(team_.size(), WindowSums(widest, summed));
  std::atomic<int64_t> next = 0;
  std::atomic<bool> stopped = false;
  FirstError problem;
  const auto window_step = [&](size_t number, int64_t window) -> Result<void> {
    Member& member = team_[number];
    auto x = x_.load(window, &member.room);
    // A window that is not there is stepped through all the same: others wait for its sums.
    if (!x) problem.keep(x.error());
    const auto take = [&](int64_t input, const float* at, int64_t tokens, int64_t columns) {
      const int64_t index = input - summed.first;
      if (index < 0 || index >= static_cast<int64_t>(sums.size())) return;
      rooms[number].sum_up(at, tokens, columns, summed);
      sums[static_cast<size_t>(index)]->add(window, rooms[number]);
    };
    step(member.scratch, window, x ? *x : member.room.data(), take);
    return changes && x ? x_.save(window, *x) : Result<void>();
  };
  const auto work = [&](size_t member, const std::function<bool(int64_t)>& ask) {
    while (!stopped && !problem) {
      const int64_t window = next++;
      if (window >= count_) return;
      if (auto r = window_step(member, window); !r) problem.keep(r.error());
      if (ask && !ask(std::min(next.load(), count_))) stopped = true;
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      for (size_t i = 1; i < team_.size(); i++) others.emplace_back([&, i] { work(i, nullptr); });
    } catch (const std::system_error&) {
      // The threads that there are do it all.
    }
    work(0, go_on);
  }
  if (problem) return *problem.error();
  if (stopped || (go_on && !go_on(count_)))
    return Error{Code::interrupted, "calibration stopped before it was complete", 0};
  std::vector<ChannelSums> out;
  for (auto& of : sums) out.push_back(std::move(of->sums));
  return out;
}

}  // namespace sqf
