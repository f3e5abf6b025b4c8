#include "format/zstd.hpp"

#include <zstd.h>

#include <cstring>
#include <memory>

#include "format/rules.hpp"

namespace sqf {
namespace {

constexpr uint32_t kFrameMagic = 0xfd2fb528;
constexpr int kLevel = 19;         // written once, read often
constexpr int kMaxWindowLog = 23;  // 8 MiB

/// Of a whole frame (RFC 8878, 3.1.1.1), which has at least the bytes looked at here.
struct FrameHeader {
  bool has_magic, has_dictionary;
  uint64_t window;  ///< 0: a single segment, whose window is its content
};

FrameHeader read_header(std::span<const std::byte> frame) {
  uint32_t magic = 0;
  std::memcpy(&magic, frame.data(), 4);
  const auto descriptor = static_cast<uint32_t>(frame[4]);
  FrameHeader header = {magic == kFrameMagic, (descriptor & 3) != 0, 0};
  if ((descriptor & 0x20) == 0) {
    const auto byte = static_cast<uint32_t>(frame[5]);
    const uint64_t base = uint64_t{1} << (10 + (byte >> 3));
    header.window = base + base / 8 * (byte & 7);
  }
  return header;
}

}  // namespace

Result<std::string> decompress_frame(std::span<const std::byte> frame, uint64_t raw_size,
                                     const std::string& where) {
  const auto bad = [&](const std::string& why) {
    return broken(Rule::zstd_frame, where + ": " + why);
  };
  // The library's error codes are sizes that no frame has.
  if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size())
    return bad("not one whole frame");
  const FrameHeader header = read_header(frame);
  if (!header.has_magic || header.has_dictionary)
    return bad("a frame of another kind, or with a dictionary");
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != raw_size)
    return bad("the frame does not state " + std::to_string(raw_size) +
               " bytes of content, as the section table does");
  const uint64_t window = header.window == 0 ? raw_size : header.window;
  if (window > kMaxZstdWindow) return bad("a window of " + std::to_string(window) + " bytes");
  std::string raw(raw_size, '\0');
  const size_t got = ZSTD_decompress(raw.data(), raw.size(), frame.data(), frame.size());
  if (got != raw.size())
    return bad(ZSTD_isError(got) ? ZSTD_getErrorName(got) : "less content than stated");
  return raw;
}

std::string compress_frame(std::string_view bytes) {
  const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(),
                                                                   ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, kMaxWindowLog);
  std::string frame(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size =
      ZSTD_compress2(context.get(), frame.data(), frame.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(size)) return {};
  frame.resize(size);
  return frame;
}

}  // namespace sqf
