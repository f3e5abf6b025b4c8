#pragma once
// The files of apps/report_page/ as they stood when this was built. The page names what goes in
// by <!--style-->, <!--script--> and <!--data-->, each once.

namespace sqf {

extern const char* const kPageHtml;
extern const char* const kPageStyle;
extern const char* const kPageScript;

}  // namespace sqf
