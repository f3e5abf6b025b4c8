#pragma once
// Statistics on disk (stats.sqc), so that one pass over a model serves many conversions. Not part
// of the SQF format. Refuses damaged files, and files of another model with what differs.
//   "SQFCALIB", u32 version = 1, u32 bytes of JSON, u64 bytes of the file; JSON; by input
//   abs_max f32 [K], mean_abs f64 [K], mean_square f64 [K]; u64 XXH3-64 of all before it.
// Little-endian; the JSON says which model and which text.

#include <filesystem>

#include "converter/calibration/statistics.hpp"

namespace sqf {

/// Written whole or not at all. Errors: io, as of PendingFile.
Result<void> save_statistics(const Statistics& statistics, const SourceModel& source,
                             const ModelDescription& description, const std::filesystem::path& path,
                             bool replace);

/// `source` and `description` are the model that the statistics are to serve. Safe on hostile
/// input. Errors: io, malformed, usage (of another model), unsupported (version).
Result<Statistics> load_statistics(const std::filesystem::path& path, const SourceModel& source,
                                   const ModelDescription& description);

/// What CALB says: the text, and what was taken of it.
Json calibration_json(const Statistics& statistics);

}  // namespace sqf
