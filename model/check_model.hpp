#pragma once
// The rules about the model as a whole (step 14 of spec/sqf.md section 6): the description is
// complete (R701), the tensors are those that it asks for (R702), and the tokenizer is structured
// and sized as the specification asks (R703, R704). Nothing here reads DATA. What this build
// cannot run is told apart from what is broken: such findings carry no rule.

#include <cstdint>
#include <string_view>

#include "format/findings.hpp"
#include "format/head.hpp"

namespace sqf {

/// Whether META says that the tensors form no model: R701..R704 ask nothing of such a file.
bool is_no_model(const Head& head);

/// Names every break of R701..R704, in that order. A word in the description that this build does
/// not know is one finding of code unsupported; what needs the description is not checked then.
/// Precondition: the head passed check_head().
void check_model(const Head& head, Findings& findings);

/// R703: what the specification asks of TOKN, whatever the kind of tokenizer. Ids must lie below
/// `vocab_size`. Safe on hostile text; memory stays proportional to it.
Result<void> check_tokenizer(std::string_view text, int64_t vocab_size);

}  // namespace sqf
