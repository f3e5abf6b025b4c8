#pragma once
// The bytes on disk, row by row as spec/sqf.md tables them. Plain structs, little-endian, no
// padding of the compiler's own; nothing here checks anything (validate.hpp does).

#include <array>
#include <bit>
#include <cstdint>

namespace sqf {

static_assert(std::endian::native == std::endian::little,
              "SQF is read in place: little-endian only");

// The high bit, CR LF, ^Z and LF catch a file that went through a text mode.
inline constexpr std::array<uint8_t, 8> kMagic = {0x89, 'S', 'Q', 'F', '\r', '\n', 0x1a, '\n'};
// Written last: a file without it was never finished.
inline constexpr std::array<char, 8> kComplete = {'S', 'Q', 'F', 'D', 'O', 'N', 'E', '\n'};

inline constexpr uint16_t kMajor = 1, kMinor = 0;
inline constexpr uint32_t kNone = 0xffffffffu;  ///< "no such record" in every index field
inline constexpr int kTileRows = 16;

// Limits. Writer, readers and validator share these.
inline constexpr uint64_t kMaxFileBytes = uint64_t{1} << 48;
inline constexpr uint64_t kMaxHeadBytes = uint64_t{1} << 30;
inline constexpr uint64_t kMaxMetaBytes = uint64_t{64} << 20;
inline constexpr uint64_t kMaxTokenizerBytes = uint64_t{64} << 20;
inline constexpr uint64_t kMaxTextBytes = uint64_t{1} << 20;  ///< template; licence: 16 of these
inline constexpr uint32_t kMaxSections = 60;
inline constexpr uint32_t kMaxTensors = 1u << 20;
inline constexpr uint32_t kMaxComponents = 1u << 22;
inline constexpr uint32_t kMaxEncodings = 65535;
inline constexpr uint64_t kMaxDim = uint64_t{1} << 40;
inline constexpr uint64_t kMaxElements = uint64_t{1} << 46;
inline constexpr uint32_t kMaxNameBytes = 255;
inline constexpr uint32_t kMaxGroup = 65536;
inline constexpr int kMaxPlanes = 8;
inline constexpr int kMaxLevels = 16;
inline constexpr int kMaxColumnSets = 4;
inline constexpr int kMaxRank = 3;

enum class HashKind : uint8_t { xxh3_64 = 1 };

inline constexpr uint64_t kIncompatZstd = 1;               ///< some text section is zstd-compressed
inline constexpr uint64_t kKnownIncompat = kIncompatZstd;  ///< what this reader can read

struct Header {
  std::array<uint8_t, 8> magic;
  uint16_t major, minor;
  uint32_t header_size;
  uint64_t feature_compat;     ///< unknown bits: ignore
  uint64_t feature_ro_compat;  ///< unknown bits: read, do not edit
  uint64_t feature_incompat;   ///< unknown bits: refuse
  uint64_t file_size;
  uint64_t section_table_offset;
  uint32_t section_count, section_entry_size;
  uint8_t comp_align_log2, data_align_log2, chunk_log2;
  HashKind hash_kind;
  uint32_t tensor_count;
  std::array<uint8_t, 24> reserved_a;
  uint64_t head_size;  ///< bytes from 0 to the start of DATA's padding: one read gets all of it
  uint64_t section_table_hash;
  std::array<uint8_t, 128> reserved_b;
  std::array<char, 8> complete;
  uint64_t header_hash;  ///< of the 248 bytes before it
};
static_assert(sizeof(Header) == 256);

constexpr uint32_t fourcc(const char (&name)[5]) {
  return static_cast<uint32_t>(static_cast<uint8_t>(name[0])) |
         static_cast<uint32_t>(static_cast<uint8_t>(name[1])) << 8 |
         static_cast<uint32_t>(static_cast<uint8_t>(name[2])) << 16 |
         static_cast<uint32_t>(static_cast<uint8_t>(name[3])) << 24;
}

enum class SectionKind : uint32_t {
  meta = fourcc("META"),  ///< strict JSON: what the model is
  tdir = fourcc("TDIR"),  ///< the binary tensor directory
  encv = fourcc("ENCV"),  ///< test vectors, one per encoding
  tokn = fourcc("TOKN"),  ///< tokenizer.json, verbatim
  tokb = fourcc("TOKB"),  ///< the same compiled to tables
  tmpl = fourcc("TMPL"),  ///< chat template
  calb = fourcc("CALB"),  ///< calibration provenance, strict JSON
  licn = fourcc("LICN"),  ///< licence of the model
  chks = fourcc("CHKS"),  ///< XXH3-64 of each 2^chunk_log2 bytes of DATA
  data = fourcc("DATA"),  ///< tensor bytes
};

enum SectionFlags : uint32_t {
  section_critical = 1,    ///< a reader that does not know the kind must refuse the file
  section_compressed = 2,  ///< stored as one zstd frame
};

struct SectionRecord {
  SectionKind kind;
  uint32_t flags;
  uint64_t offset, stored_size, raw_size;
  uint64_t stored_hash, raw_hash;  ///< DATA: hash of the CHKS bytes in both
  uint32_t ordinal, codec;         ///< codec 0 none, 1 zstd
  uint64_t reserved;
};
static_assert(sizeof(SectionRecord) == 64);

/// What one element of a component is. `digitsN` are code planes: bytes of base-N digit strings.
enum class Element : uint16_t {
  none = 0,
  f32 = 1,
  f16 = 2,
  bf16 = 3,
  e8m0 = 4,
  e4m3 = 5,
  u8 = 6,
  i8 = 7,
  i32 = 8,
  u32 = 9,
  u4 = 10,
  digits2 = 16,
  digits3 = 17,
  digits4 = 18,
  digits5 = 19,
  digits16 = 20,
  digits256 = 21,
};

enum class Packing : uint16_t {
  tile16_values = 0,  ///< [tile][word][16 rows][4 bytes], elements in order within a word
  tile16_codes = 1,   ///< [tile][word][16 rows][4 bytes]
  tile16_groups = 2,  ///< [tile][group][16 rows]
  vector = 3,         ///< [rows][cols], unpadded
};

/// First 96 bytes of TDIR. The arrays follow in the order of the counts, each padded to 8 bytes.
struct DirectoryHeader {
  uint32_t encoding_count, input_count, tensor_count, part_count, component_count, name_bytes;
  uint16_t encoding_size, input_size, tensor_size, part_size, component_size;
  std::array<uint16_t, 31> reserved;
};
static_assert(sizeof(DirectoryHeader) == 96);

enum class Grid : uint8_t { real = 0, affine = 1, minifloat = 2, levels = 3 };
enum class ZeroKind : uint8_t { none = 0, constant = 1, u4 = 2, u8 = 3, minimum_f16 = 4 };
enum class MinifloatKind : uint8_t { none = 0, saturating = 1, ocp = 2 };

/// Code -> value, in f32, each step rounded, in this order:
///   affine     w = scale * (code - zero)   or   scale * code + minimum
///   minifloat  w = scale * value(code)          levels  w = scale * levels[code]
/// scale is the stored scale, times the row factor where there is one.
struct EncodingRecord {
  Grid grid;
  ZeroKind zero;
  uint8_t plane_count;
  uint8_t row_factor;  ///< 1: f32 factor per row
  Element value_type;  ///< grid real: what is stored; otherwise none
  Element scale_type;
  std::array<uint16_t, kMaxPlanes> radices;  ///< least significant plane first; unused 0
  uint32_t group;                            ///< columns per group; 0: the whole row
  uint32_t zero_constant;
  uint8_t exponent_bits, mantissa_bits;
  MinifloatKind minifloat;
  uint8_t level_count;
  int32_t exponent_bias;
  std::array<float, kMaxLevels> levels;
  std::array<uint8_t, 24> reserved;
};
static_assert(sizeof(EncodingRecord) == 128);

enum class SmoothState : uint8_t { none = 0, folded = 1, apply = 2 };
enum class ColumnKind : uint8_t { none = 0, all = 1, list = 2, rest = 3 };
enum class QuantizerKind : uint8_t { none = 0, integer = 1, minifloat = 2 };

/// One set of input columns with the quantizer of its activations.
struct ColumnSetRecord {
  ColumnKind kind;
  QuantizerKind quantizer;
  uint8_t bits;
  uint8_t per_tensor, asymmetric, is_static;  ///< 0 or 1
  uint8_t exponent_bits, mantissa_bits;
  uint64_t count;    ///< columns in the set
  uint32_t columns;  ///< component: ascending u32 list, kind list only
  float scale, low;  ///< is_static only
  uint32_t reserved;
};
static_assert(sizeof(ColumnSetRecord) == 32);

/// One distinct activation: layers that read the same vector share it.
struct InputRecord {
  uint64_t columns;  ///< K
  uint32_t smooth;   ///< component f32 [K], or kNone
  SmoothState smooth_state;
  uint8_t set_count;
  uint16_t reserved_a;
  uint64_t reserved_b[2];
  std::array<ColumnSetRecord, kMaxColumnSets> sets;
};
static_assert(sizeof(InputRecord) == 160);

struct TensorRecord {
  uint32_t name_offset;
  uint16_t name_size;
  uint8_t rank;
  uint8_t flags;                         ///< none defined: 0
  std::array<uint64_t, kMaxRank> shape;  ///< outermost first; unused 0. Rank 3: experts
  uint32_t input;                        ///< input record, or kNone
  uint32_t part_first, part_count;
  uint32_t rank_pair;               ///< r of the low-rank pair; 0: none
  uint32_t low_rank_a, low_rank_b;  ///< components [N, r] and [r, K], or kNone
  uint32_t low_rank_a_scales, low_rank_b_scales;
  uint32_t bias;  ///< component f32 [N], or kNone
  uint32_t reserved[7];
};
static_assert(sizeof(TensorRecord) == 96);

struct PartRecord {
  uint32_t encoding;
  uint32_t column_set;  ///< index into the input record's sets; 0 without an input record
  std::array<uint32_t, kMaxPlanes> planes;  ///< components; grid real: planes[0] are the values
  uint32_t scales, row_factors, zeros, column_factors, row_sums;  ///< components, or kNone
  uint32_t reserved;
};
static_assert(sizeof(PartRecord) == 64);

struct ComponentRecord {
  uint64_t offset;  ///< from the start of the file
  uint64_t size;    ///< with its own padding
  uint64_t hash;    ///< XXH3-64 of those bytes
  Element element;
  Packing packing;
  uint32_t reserved_a;
  uint64_t rows, cols;  ///< padded shape; cols: elements, words of a code plane, or groups
  std::array<uint64_t, 2> reserved_b;
};
static_assert(sizeof(ComponentRecord) == 64);

}  // namespace sqf
