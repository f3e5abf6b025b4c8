// sqrun: text from an .sqf model. Picks the command; the commands stand in files of their own.

#include "apps/sqrun.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string_view>

#include "apps/report.hpp"
#include "format/text.hpp"

namespace sqf {

Result<std::string> read_input(const std::string& path) {
  const auto failed = [&] { return io_error(path + ": cannot read: " + std::strerror(errno)); };
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return failed();
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), file))
    text.append(buffer.data(), n);
  const bool broken = std::ferror(file) != 0;
  const Error error = failed();
  std::fclose(file);
  if (broken) return error;
  return text;
}

Result<void> check_text(const std::string& text, const std::string& what) {
  const auto offset = find_invalid_utf8(text);
  if (!offset) return {};
  return malformed(what + ": not UTF-8 at byte " + std::to_string(*offset));
}

}  // namespace sqf

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  try {
    int code = 0;
    if (command == "bench")
      code = sqf::run_bench(argc - 1, argv + 1);
    else if (command == "ppl")
      code = sqf::run_perplexity(argc - 1, argv + 1);
    else
      code = sqf::run_generate(argc, argv);
    return sqf::close_output("sqrun", code);
  } catch (const std::exception& e) {
    return sqf::report("sqrun", sqf::io_error(e.what()));
  }
}
