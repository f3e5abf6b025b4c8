// Windows' numbers in memory and in a file: the same, and nothing of the file stays.
#include "converter/calibration/window_store.hpp"

#include <numeric>

#include "tests/loader/sample_file.hpp"

namespace sqf {
namespace {

TEST(WindowStore, KeepsWhatIsSaved) {
  const TemporaryFolder folder;
  for (const auto& file : {std::filesystem::path(), folder / "spill"}) {
    auto made = WindowStore::create(5, 700, file);
    ASSERT_TRUE(made) << made.error().message;
    WindowStore store = std::move(*made);
    EXPECT_EQ(store.in_file(), !file.empty());
    // Whoever ends now leaves nothing behind.
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
    std::vector<float> room, other;
    for (const int64_t window : {3, 0, 4}) {
      float* const x = store.place(window, &room);
      std::iota(x, x + 700, static_cast<float>(1000 * window));
      ASSERT_TRUE(store.save(window, x));
    }
    for (int64_t window = 0; window < 5; window++) {
      auto x = store.load(window, &room);
      ASSERT_TRUE(x);
      const bool there = window != 1 && window != 2;
      for (int64_t i : {0, 1, 699})
        EXPECT_EQ((*x)[i], there ? static_cast<float>(1000 * window + i) : 0.0f) << window;
    }
    // Two at a time, and what is changed but not saved stays out of a file.
    auto a = store.load(3, &room), b = store.load(4, &other);
    ASSERT_TRUE(a && b);
    EXPECT_EQ((*a)[1], 3001);
    EXPECT_EQ((*b)[1], 4001);
    (*a)[1] = 7;
    if (store.in_file()) {
      EXPECT_EQ((*store.load(3, &other))[1], 3001);
    }
  }
}

TEST(WindowStore, SaysWhichFileCannotBe) {
  const TemporaryFolder folder;
  auto store = WindowStore::create(1, 1, folder / "gone/spill");
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, Code::io);
  EXPECT_NE(store.error().message.find("gone/spill: cannot create it: No such file"),
            std::string::npos)
      << store.error().message;
}

TEST(WindowStore, TwoBesideEachOther) {
  const TemporaryFolder folder;
  auto a = WindowStore::create(2, 3, folder / "spill"),
       b = WindowStore::create(2, 3, folder / "spill");
  ASSERT_TRUE(a && b);
  const float ones[] = {1, 1, 1};
  ASSERT_TRUE(a->save(1, ones));
  std::vector<float> room;
  EXPECT_EQ((*b->load(1, &room))[0], 0);
  EXPECT_EQ((*a->load(1, &room))[0], 1);
}

}  // namespace
}  // namespace sqf
