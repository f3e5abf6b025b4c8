/* SQF: the loader for other engines. Maps a .sqf file, checks it, hands out its tensors as they are
   stored or as floats. C99; needs only the C library. What the bytes mean is in spec/sqf.md and
   spec/encodings.md.

     sqf_file* file;
     sqf_error error;
     if (sqf_open("model.sqf", SQF_VERIFY_LAZY, &file, &error) != SQF_OK) {
       fprintf(stderr, "%s\n", error.message);
       return 1;
     }
     sqf_tensor tensor;
     if (sqf_find_tensor(file, "lm_head.weight", &tensor, &error) == SQF_OK) {
       float* row = malloc(tensor.columns * sizeof *row);
       sqf_dequantize(file, tensor.index, 0, 17, 1, row, &error);      // row 17 of matrix 0
       ...
     }
     sqf_close(file);

   Errors. A function that can fail returns an sqf_code and fills the sqf_error of its last
   argument, which may be NULL. Every argument is checked: a null pointer or an index out of range
   is SQF_ERROR_USAGE, never a crash; what cannot be checked is the size of the memory that `out`
   points to. When a function fails, what its other output arguments point to is unchanged, except
   for floats and columns already written. No function prints or exits, and no C++ exception leaves
   one.

   Threads. All functions that take a const sqf_file* may be called at once from any number of
   threads on the same file. sqf_close must be the last call on it. There is no global state.

   Lifetimes. Every pointer handed out (names, tensor bytes, sections) is valid until sqf_close. The
   structs hold no memory of their own and may be copied. A file that another process truncates
   while it is open raises SIGBUS, as with any mapping; replace files by renaming.

   Versions. Within a major version functions and enumerators are only added, and structs keep their
   size: reserved members, which are zero, may get a meaning. Enumerators have the numbers that the
   file has. */
#ifndef SQF_H
#define SQF_H

#include <stddef.h>
#include <stdint.h>

#define SQF_VERSION_MAJOR 1
#define SQF_VERSION_MINOR 0
#define SQF_VERSION_PATCH 0
#define SQF_VERSION (SQF_VERSION_MAJOR * 10000 + SQF_VERSION_MINOR * 100 + SQF_VERSION_PATCH)

#define SQF_NONE 0xffffffffu /* an index that refers to nothing */

#if defined(__GNUC__)
#define SQF_API __attribute__((visibility("default")))
#else
#define SQF_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sqf_file sqf_file;

typedef enum sqf_code {
  SQF_OK = 0,
  SQF_ERROR_MALFORMED = 1,   /* the file breaks a rule, or a checksum does not match */
  SQF_ERROR_USAGE = 2,       /* a bad argument; a name that is not there */
  SQF_ERROR_IO = 3,          /* the system refused: file, memory */
  SQF_ERROR_UNSUPPORTED = 4, /* a valid file, but newer than this library */
  SQF_ERROR_INTERRUPTED = 5  /* a callback asked to stop */
} sqf_code;

/* Members of sqf_error that mean something; the others are 0 or "". */
enum { SQF_KNOWN_TENSOR = 1, SQF_KNOWN_OFFSET = 2, SQF_KNOWN_VALUES = 4 };

/* Why a call failed. After a call that succeeded: code SQF_OK, everything else 0. */
typedef struct sqf_error {
  uint32_t code;  /* sqf_code */
  uint32_t rule;  /* the number in spec/rules.md; 0: no rule of the format is concerned */
  uint32_t known; /* SQF_KNOWN_... */
  uint32_t reserved;
  uint64_t offset;   /* KNOWN_OFFSET: of the first wrong byte, or of what holds it, from the file's
                        start */
  char expected[64]; /* KNOWN_VALUES: what should have been there: a number, a hash, a range */
  char found[64];    /* KNOWN_VALUES: what was there */
  char tensor[256];  /* KNOWN_TENSOR: its name */
  char message[512]; /* one sentence, UTF-8, cut where it is longer */
} sqf_error;

/* How much sqf_open checks. The head (everything but the tensor bytes) is always checked in full:
   there is no way to get at a file whose directory lies, and no access outside the file follows
   from any file. */
enum {
  SQF_VERIFY_HEAD = 0, /* the default: the head; the tensor bytes are not read */
  SQF_VERIFY_LAZY =
      1, /* also the hash of each chunk of tensor bytes (1 MiB, usually) when a function first hands
            out or reads bytes of it; a chunk that fails then fails every call that touches it */
  SQF_VERIFY_FULL = 2 /* everything at once: hashes, padding, that each number is finite */
};

typedef enum sqf_grid {
  SQF_GRID_REAL = 0,
  SQF_GRID_AFFINE = 1,
  SQF_GRID_MINIFLOAT = 2,
  SQF_GRID_LEVELS = 3
} sqf_grid;
typedef enum sqf_zero {
  SQF_ZERO_NONE = 0,
  SQF_ZERO_CONSTANT = 1,
  SQF_ZERO_U4 = 2,
  SQF_ZERO_U8 = 3,
  SQF_ZERO_MINIMUM_F16 = 4
} sqf_zero;
typedef enum sqf_minifloat {
  SQF_MINIFLOAT_NONE = 0,
  SQF_MINIFLOAT_SATURATING = 1,
  SQF_MINIFLOAT_OCP = 2
} sqf_minifloat;
typedef enum sqf_element {
  SQF_ELEMENT_NONE = 0,
  SQF_ELEMENT_F32 = 1,
  SQF_ELEMENT_F16 = 2,
  SQF_ELEMENT_BF16 = 3,
  SQF_ELEMENT_E8M0 = 4,
  SQF_ELEMENT_E4M3 = 5,
  SQF_ELEMENT_U8 = 6,
  SQF_ELEMENT_I8 = 7,
  SQF_ELEMENT_I32 = 8,
  SQF_ELEMENT_U32 = 9,
  SQF_ELEMENT_U4 = 10,
  SQF_ELEMENT_DIGITS2 = 16, /* code planes: bytes of base-N digits */
  SQF_ELEMENT_DIGITS3 = 17,
  SQF_ELEMENT_DIGITS4 = 18,
  SQF_ELEMENT_DIGITS5 = 19,
  SQF_ELEMENT_DIGITS16 = 20,
  SQF_ELEMENT_DIGITS256 = 21
} sqf_element;
typedef enum sqf_packing {
  SQF_PACKING_TILE16_VALUES = 0, /* [rows / 16][words of cols elements][16][4 bytes] */
  SQF_PACKING_TILE16_CODES = 1,  /* [rows / 16][cols words][16][4 bytes] */
  SQF_PACKING_TILE16_GROUPS = 2, /* [rows / 16][cols groups][16]; u4: [8] bytes */
  SQF_PACKING_VECTOR = 3         /* [rows][cols], unpadded */
} sqf_packing;
typedef enum sqf_smooth_state {
  SQF_SMOOTH_NONE = 0,
  SQF_SMOOTH_FOLDED = 1,
  SQF_SMOOTH_APPLY = 2
} sqf_smooth_state;
typedef enum sqf_column_kind {
  SQF_COLUMNS_ALL = 1,
  SQF_COLUMNS_LIST = 2,
  SQF_COLUMNS_REST = 3
} sqf_column_kind;
typedef enum sqf_quantizer {
  SQF_QUANTIZER_NONE = 0,
  SQF_QUANTIZER_INTEGER = 1,
  SQF_QUANTIZER_MINIFLOAT = 2
} sqf_quantizer;

/* What a component is to its part or its tensor. */
typedef enum sqf_role {
  SQF_ROLE_PLANE =
      0, /* plane i is SQF_ROLE_PLANE + i, i < 8; the values of the real grid are plane 0 */
  SQF_ROLE_SCALES = 8,
  SQF_ROLE_ROW_FACTORS = 9,
  SQF_ROLE_ZEROS = 10, /* or minimums */
  SQF_ROLE_COLUMN_FACTORS = 11,
  SQF_ROLE_ROW_SUMS = 12,
  SQF_ROLE_BIAS = 32, /* from here on: of a tensor */
  SQF_ROLE_LOW_RANK_A = 33,
  SQF_ROLE_LOW_RANK_B = 34,
  SQF_ROLE_LOW_RANK_A_SCALES = 35,
  SQF_ROLE_LOW_RANK_B_SCALES = 36
} sqf_role;

typedef struct sqf_info {
  uint32_t major, minor; /* of the format that the file is in */
  uint32_t tensor_count, input_count;
  uint64_t file_bytes;
  uint64_t data_offset; /* where the tensor bytes start; they end with the file */
  uint64_t chunk_bytes; /* bytes that share a hash */
  uint64_t reserved[4];
} sqf_info;

/* A tensor. As a matrix it is [experts][rows][columns]; a vector has one row, rank 1 and 2 one
 * expert. */
typedef struct sqf_tensor {
  const char* name;  /* UTF-8 with a terminating 0 */
  uint32_t index;    /* what the other functions take; tensors are sorted by name */
  uint32_t rank;     /* 1..3 */
  uint64_t shape[3]; /* outermost first; unused 0 */
  uint64_t experts, rows, columns;
  uint64_t stored_bytes;  /* of all its components; those of its input record not counted */
  double bits_per_weight; /* the same per element, in bits */
  uint32_t part_count;    /* 1..16 */
  uint32_t input;         /* input record, or SQF_NONE */
  uint32_t low_rank;      /* r of A [rows, r] and B [r, columns]; 0: there is no such pair */
  uint32_t has_bias;      /* 0 or 1 */
  uint64_t reserved[4];
} sqf_tensor;

/* How codes become values: the members of the file's record (spec/sqf.md, 3.1). */
typedef struct sqf_encoding {
  uint32_t grid; /* sqf_grid */
  uint32_t zero; /* sqf_zero */
  uint32_t plane_count;
  uint32_t row_factor; /* 1: an f32 factor for each row */
  uint32_t value_type; /* sqf_element; grid real only */
  uint32_t scale_type; /* sqf_element */
  uint32_t radices[8]; /* of the planes, widest first */
  uint32_t group;      /* columns; 0: the whole row */
  uint32_t zero_constant;
  uint32_t exponent_bits, mantissa_bits; /* grid minifloat */
  uint32_t minifloat;                    /* sqf_minifloat */
  int32_t exponent_bias;
  uint32_t level_count; /* grid levels */
  float levels[16];
  uint32_t reserved[7];
} sqf_encoding;

/* Columns of an input, and how the activations in them are quantized before they meet the weights.
 */
typedef struct sqf_column_set {
  uint32_t kind;        /* sqf_column_kind */
  uint32_t quantizer;   /* sqf_quantizer */
  uint64_t count;       /* columns in the set */
  const uint32_t* list; /* kind list: ascending; else NULL. sqf_part_columns resolves every kind */
  uint32_t bits;        /* quantizer integer */
  uint32_t exponent_bits, mantissa_bits; /* quantizer minifloat */
  uint32_t per_tensor, asymmetric, is_static;
  float scale, low; /* is_static */
  uint32_t reserved[2];
} sqf_column_set;

/* One distinct activation: tensors that read the same vector name the same record. */
typedef struct sqf_input {
  uint64_t columns;
  const float* smooth;   /* [columns]; NULL: none */
  uint32_t smooth_state; /* sqf_smooth_state; apply: the activation is to be divided by it */
  uint32_t set_count;    /* 1..4 */
  sqf_column_set sets[4];
} sqf_input;

/* A matrix in one encoding over one column set; a tensor is the sum of its parts (and its low-rank
 * pair). */
typedef struct sqf_part {
  sqf_encoding encoding;
  uint32_t encoding_index; /* the same number: the same encoding */
  uint32_t set_index;      /* among the sets of the tensor's input record; 0 without one */
  sqf_column_set set;      /* without an input record: all columns, no quantizer */
} sqf_part;

/* Stored bytes, where they stand in the mapped file. */
typedef struct sqf_component {
  const void* data;      /* 64-byte aligned; NULL: the tensor or part has no such component */
  uint64_t size;         /* bytes, padding included */
  uint64_t expert_bytes; /* from one expert's share to the next; 0: all experts share it */
  uint64_t offset;       /* from the start of the file */
  uint64_t hash;         /* XXH3-64 of the bytes */
  uint64_t rows, cols;   /* as stored, all experts together; cols: elements, words or groups */
  uint32_t element;      /* sqf_element */
  uint32_t packing;      /* sqf_packing */
} sqf_component;

/* The library's version, as SQF_VERSION is the header's; and as text, "1.0.0". */
SQF_API uint32_t sqf_version(void);
SQF_API const char* sqf_version_text(void);
/* The sentence of a rule in spec/rules.md; "" for a number that is none. */
SQF_API const char* sqf_rule_text(uint32_t rule);

/* Maps the file and checks it as `verify` says. *file is to be closed; on failure it is set to
 * NULL. */
SQF_API sqf_code sqf_open(const char* path, int verify, sqf_file** file, sqf_error* error);
/* Unmaps the file; every pointer into it dies. NULL is allowed. */
SQF_API void sqf_close(sqf_file* file);

SQF_API sqf_code sqf_get_info(const sqf_file* file, sqf_info* info, sqf_error* error);
SQF_API uint32_t sqf_tensor_count(const sqf_file* file); /* 0 for NULL */
SQF_API sqf_code sqf_get_tensor(const sqf_file* file, uint32_t index, sqf_tensor* tensor,
                                sqf_error* error);
SQF_API sqf_code sqf_find_tensor(const sqf_file* file, const char* name, sqf_tensor* tensor,
                                 sqf_error* error);
SQF_API sqf_code sqf_get_part(const sqf_file* file, uint32_t tensor, uint32_t part, sqf_part* out,
                              sqf_error* error);
SQF_API sqf_code sqf_get_input(const sqf_file* file, uint32_t input, sqf_input* out,
                               sqf_error* error);

/* Which columns of the matrix a part's columns are: out[j] for its j-th, ascending; out holds
 * set.count. */
SQF_API sqf_code sqf_part_columns(const sqf_file* file, uint32_t tensor, uint32_t part,
                                  uint64_t* out, sqf_error* error);

/* Stored bytes by role: 0..12 of a part, 32..36 of a tensor. One that is not there is SQF_OK with
 * data NULL. */
SQF_API sqf_code sqf_part_component(const sqf_file* file, uint32_t tensor, uint32_t part, int role,
                                    sqf_component* out, sqf_error* error);
SQF_API sqf_code sqf_tensor_component(const sqf_file* file, uint32_t tensor, int role,
                                      sqf_component* out, sqf_error* error);

/* Rows row_begin .. row_begin + row_count - 1 of one expert (0 where the rank is below 3) as f32,
   out [row_count][columns]: the sum of the parts, in order, and of the low-rank pair, in the
   coordinates of the smoothed activation. The bits are specified. In f32, each step rounded, ties
   to even, from out = 0: for each part     out[c] = out[c] + v * factor[j]       v: its j-th value,
   c: that column; no factor: v alone low-rank pair     acc = acc + a * b for k = 0, 1, ... from acc
   = 0; then out = out + acc a, b: the f16, or the i8 times its row's scale Whole tiles of 16 rows
   are the fastest. Memory: a few rows; with a low-rank pair also B as f32. */
SQF_API sqf_code sqf_dequantize(const sqf_file* file, uint32_t tensor, uint64_t expert,
                                uint64_t row_begin, uint64_t row_count, float* out,
                                sqf_error* error);
/* The same in the coordinates of the activation itself: where the smoothing vector is to be
   applied, each column is divided by its element. */
SQF_API sqf_code sqf_effective(const sqf_file* file, uint32_t tensor, uint64_t expert,
                               uint64_t row_begin, uint64_t row_count, float* out,
                               sqf_error* error);

/* A section of the head by its four letters: META (the model's description, JSON), TOKN
   (tokenizer.json), TMPL (chat template), LICN (licence), CALB, ... Texts are UTF-8 without a
   terminating 0. One that is not there is SQF_OK with *data NULL and *size 0. */
SQF_API sqf_code sqf_get_section(const sqf_file* file, const char* kind, const void** data,
                                 size_t* size, sqf_error* error);
/* The whole file as mapped; its bytes are not checked by this call, whatever the file was opened
 * with. */
SQF_API sqf_code sqf_raw_bytes(const sqf_file* file, const void** data, uint64_t* size,
                               sqf_error* error);

/* Called with the bytes of DATA checked so far; another value than 0 stops. */
typedef int (*sqf_progress_fn)(void* context, uint64_t done, uint64_t total);
/* Called for each broken rule; another value than 0: no more, please. `finding` lives as long as
 * the call. */
typedef int (*sqf_finding_fn)(void* context, const sqf_error* finding);

/* Reads all tensor bytes and checks them against every hash and rule, as SQF_VERIFY_FULL does at
   opening. Callbacks come from the calling thread and may be NULL; of more than 1000 findings the
   rest is left out. `error` is the first finding. */
SQF_API sqf_code sqf_verify(const sqf_file* file, sqf_progress_fn progress, sqf_finding_fn finding,
                            void* context, sqf_error* error);

#ifdef __cplusplus
}
#endif

#endif
