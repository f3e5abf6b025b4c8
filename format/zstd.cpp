#include "format/zstd.hpp"

#include <zstd.h>

#include <cstring>
#include <memory>
#include <optional>

#include "format/rules.hpp"

namespace sqf {
namespace {

constexpr uint32_t kFrameMagic = 0xfd2fb528;
constexpr int kLevel = 19;         // written once, read often
constexpr int kMaxWindowLog = 23;  // 8 MiB

struct FrameHeader {
  uint64_t content_size, window;
};

/// RFC 8878, 3.1.1.1; nothing where the header is cut off or lacks what the format asks for.
std::optional<FrameHeader> read_header(std::span<const std::byte> frame) {
  size_t at = 0;
  const auto number = [&](size_t width) -> std::optional<uint64_t> {
    if (frame.size() - at < width) return std::nullopt;
    uint64_t value = 0;
    std::memcpy(&value, frame.data() + at, width);
    at += width;
    return value;
  };
  if (number(4) != kFrameMagic) return std::nullopt;
  const auto descriptor = number(1);
  if (!descriptor) return std::nullopt;
  const bool single_segment = (*descriptor & 0x20) != 0;
  const bool has_dictionary = (*descriptor & 3) != 0;
  if (has_dictionary) return std::nullopt;
  uint64_t window = 0;
  if (!single_segment) {
    const auto byte = number(1);
    if (!byte) return std::nullopt;
    const uint64_t base = uint64_t{1} << (10 + (*byte >> 3));
    window = base + base / 8 * (*byte & 7);
  }
  constexpr size_t kWidths[] = {0, 2, 4, 8};
  size_t width = kWidths[*descriptor >> 6];
  if (width == 0 && single_segment) width = 1;
  if (width == 0) return std::nullopt;
  auto content_size = number(width);
  if (!content_size) return std::nullopt;
  if (width == 2) *content_size += 256;
  return FrameHeader{*content_size, single_segment ? *content_size : window};
}

}  // namespace

Result<std::string> decompress_frame(std::span<const std::byte> frame, uint64_t raw_size,
                                     const std::string& where) {
  const auto bad = [&](const std::string& why) {
    return broken(Rule::zstd_frame, where + ": " + why);
  };
  const auto header = read_header(frame);
  if (!header) return bad("no frame header with a content size and without a dictionary");
  if (header->content_size != raw_size)
    return bad("the frame holds " + std::to_string(header->content_size) +
               " bytes, the section table states " + std::to_string(raw_size));
  if (header->window > kMaxZstdWindow)
    return bad("a window of " + std::to_string(header->window) + " bytes");
  const size_t size = ZSTD_findFrameCompressedSize(frame.data(), frame.size());
  if (ZSTD_isError(size)) return bad(ZSTD_getErrorName(size));
  if (size != frame.size())
    return bad("the frame ends after " + std::to_string(size) + " of " +
               std::to_string(frame.size()) + " bytes");
  std::string raw(raw_size, '\0');
  const size_t got = ZSTD_decompress(raw.data(), raw.size(), frame.data(), frame.size());
  if (ZSTD_isError(got)) return bad(ZSTD_getErrorName(got));
  if (got != raw_size) return bad("it decompresses to " + std::to_string(got) + " bytes");
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
