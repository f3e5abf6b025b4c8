#include "model/metaspace.hpp"

#include "format/text.hpp"

namespace sqf {

Result<Metaspace> read_metaspace(const Field& component) {
  Metaspace metaspace;
  auto replacement = string_at(component, "replacement");
  if (!replacement) return replacement.error();
  size_t at = 0;
  if (!replacement->empty()) next_char(*replacement, at);
  if (replacement->empty() || at != replacement->size())
    return malformed("tokenizer.json: " + component.path + ".replacement is not one character");
  metaspace.replacement = *replacement;
  // Older files have add_prefix_space instead of prepend_scheme; some have both.
  auto prefix = bool_at(component, "add_prefix_space", true);
  if (!prefix) return prefix.error();
  auto scheme = string_at(component, "prepend_scheme", *prefix ? "always" : "never");
  if (!scheme) return scheme.error();
  if (*scheme != "first" && *scheme != "always" && *scheme != "never")
    return malformed("tokenizer.json: " + component.path + ".prepend_scheme " + in_quotes(*scheme) +
                     " does not exist");
  if (!*prefix && *scheme != "never")
    return malformed("tokenizer.json: " + component.path +
                     ".add_prefix_space is false but prepend_scheme is " + in_quotes(*scheme));
  metaspace.prepend = *scheme == "first"    ? PrependScheme::first
                      : *scheme == "always" ? PrependScheme::always
                                            : PrependScheme::never;
  auto split = bool_at(component, "split", true);
  if (!split) return split.error();
  metaspace.split = *split;
  return metaspace;
}

}  // namespace sqf
