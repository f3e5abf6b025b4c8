// Global functions.

#include "model/jinja/functions.hpp"

#include <chrono>
#include <cstdio>

#include "format/text.hpp"
#include "model/jinja/builtin.hpp"
#include "model/jinja/print.hpp"

namespace sqf {
namespace {

using Kind = JinjaValue::Kind;
using Value = JinjaValue;
using Args = JinjaArgs;

constexpr int64_t kLongestRange =
    100000;  // the sandbox of the reference implementation allows as much

Value raise_exception(JinjaRuntime& rt, const Value&, Args& args) {
  const std::string message = jinja_str(rt, args.positional[0])->bytes;
  if (rt.failed()) return {};
  return rt.fail(usage_error(message));
}

Value range(JinjaRuntime& rt, const Value&, Args& args) {
  const size_t count = args.positional.size();
  if (count < 1 || count > 3 || !args.named.empty())
    return rt.fail("range expected 1 to 3 arguments, got " + std::to_string(count));
  std::array<int64_t, 3> bounds{0, 0, 1};
  for (size_t i = 0; i < count; ++i)
    bounds[count == 1 ? 1 : i] = jinja_integer_arg(rt, args.positional[i], 0);
  const auto [start, stop, step] = bounds;
  if (rt.failed()) return {};
  if (step == 0) return rt.fail("range() arg 3 must not be zero");
  std::vector<Value> numbers;
  for (int64_t at = start; step > 0 ? at < stop : at > stop;) {
    numbers.push_back(Value::of_integer(at));
    if (static_cast<int64_t>(numbers.size()) > kLongestRange)
      return rt.fail_limit("makes a range of more than " + std::to_string(kLongestRange));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  Value result = rt.sequence(Kind::range, std::move(numbers));
  if (!rt.failed()) result.sequence->bounds = bounds;
  return result;
}

/// dict(mapping, **named) and namespace(mapping, **named).
Value make_mapping(JinjaRuntime& rt, Args& args, Kind kind) {
  JinjaDict made;
  if (args.positional.size() > 1) return rt.fail("expected at most 1 argument");
  if (!args.positional.empty()) {
    const Value& source = args.positional[0];
    if (source.is(Kind::dict)) {
      made = *source.dict;
    } else {
      for (const Value& pair : rt.iterate(source)) {
        const std::vector<Value> both = rt.iterate(pair);
        if (rt.failed() || both.size() != 2)
          return rt.fail("dictionary update sequence element is not a pair");
        rt.put(made, both[0], both[1]);
      }
    }
  }
  for (auto& [name, value] : args.named) rt.put(made, rt.text(name), value);
  return rt.dict(std::move(made), kind);
}

Value make_dict(JinjaRuntime& rt, const Value&, Args& args) {
  return make_mapping(rt, args, Kind::dict);
}

Value make_namespace(JinjaRuntime& rt, const Value&, Args& args) {
  return make_mapping(rt, args, Kind::space);
}

Value strftime_now(JinjaRuntime& rt, const Value&, Args& args) {
  if (!args.positional[0].is_text()) return rt.fail("strftime() argument 1 must be str");
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
  std::tm local{};
  localtime_r(&seconds, &local);
  std::string result;
  if (!jinja_format_time(args.positional[0].text->bytes, local,
                         static_cast<int>(micros.count() % 1000000), result))
    return rt.fail_limit("formats a time longer than 4 KiB");
  return rt.text(std::move(result));
}

constexpr JinjaBuiltin kFunctions[] = {
    {"dict", make_dict, {}, 0, true},
    {"namespace", make_namespace, {}, 0, true},
    {"raise_exception", raise_exception, {"message"}, 1},
    {"range", range, {}, 0, true},
    {"strftime_now", strftime_now, {"format"}, 1},
};

}  // namespace

JinjaTable jinja_functions() {
  return {std::begin(kFunctions), std::end(kFunctions)};
}

bool jinja_format_time(const std::string& format, const std::tm& time, int microseconds,
                       std::string& result) {
  constexpr size_t kLongest = 4096;
  if (format.size() > kLongest) return false;
  std::string plain;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] == '\0') return false;
    plain += format[i];
    if (format[i] != '%' || i + 1 == format.size()) continue;
    const char kind = format[++i];
    if (kind == 'z' || kind == 'Z') {
      plain.pop_back();
    } else if (kind == 'f') {
      char digits[16];
      std::snprintf(digits, sizeof digits, "%06d", microseconds);
      plain.back() = digits[0];
      plain += digits + 1;
    } else {
      plain += kind;
    }
  }
  plain += '.';  // so that an empty result can be told from one that does not fit
  std::string buffer(kLongest + 1, '\0');
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  const size_t size = std::strftime(buffer.data(), buffer.size(), plain.c_str(), &time);
#pragma GCC diagnostic pop
  if (size == 0) return false;
  result = buffer.substr(0, size - 1);
  return is_utf8(result);
}

}  // namespace sqf
