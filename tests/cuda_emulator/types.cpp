#include "tests/cuda_emulator/types.hpp"

#include <array>

namespace sqf {
namespace {

struct TypeRow {
  Type type;
  std::string_view name;
  int bytes;
};

constexpr std::array kTypes = {
    TypeRow{Type::none, "none", 0},     TypeRow{Type::pred, "pred", 4},
    TypeRow{Type::b8, "b8", 1},         TypeRow{Type::u8, "u8", 1},
    TypeRow{Type::s8, "s8", 1},         TypeRow{Type::b16, "b16", 2},
    TypeRow{Type::u16, "u16", 2},       TypeRow{Type::s16, "s16", 2},
    TypeRow{Type::f16, "f16", 2},       TypeRow{Type::bf16, "bf16", 2},
    TypeRow{Type::u8x4, "u8x4", 4},     TypeRow{Type::s8x4, "s8x4", 4},
    TypeRow{Type::e4m3x2, "e4m3x2", 2}, TypeRow{Type::e5m2x2, "e5m2x2", 2},
    TypeRow{Type::b32, "b32", 4},       TypeRow{Type::u32, "u32", 4},
    TypeRow{Type::s32, "s32", 4},       TypeRow{Type::f32, "f32", 4},
    TypeRow{Type::tf32, "tf32", 4},     TypeRow{Type::f16x2, "f16x2", 4},
    TypeRow{Type::bf16x2, "bf16x2", 4}, TypeRow{Type::u16x2, "u16x2", 4},
    TypeRow{Type::s16x2, "s16x2", 4},   TypeRow{Type::b64, "b64", 8},
    TypeRow{Type::u64, "u64", 8},       TypeRow{Type::s64, "s64", 8},
    TypeRow{Type::f64, "f64", 8},
};

const TypeRow& row_of(Type type) {
  return kTypes[static_cast<size_t>(type)];
}

}  // namespace

Type type_named(std::string_view name) {
  for (const TypeRow& row : kTypes) {
    if (row.name == name) return row.type;
  }
  return Type::none;
}

std::string_view name_of(Type type) {
  return row_of(type).name;
}

int bytes_of(Type type) {
  return row_of(type).bytes;
}

bool is_float(Type type) {
  return type == Type::f16 || type == Type::bf16 || type == Type::f32 || type == Type::tf32 ||
         type == Type::f64;
}

bool is_signed(Type type) {
  return type == Type::s8 || type == Type::s16 || type == Type::s32 || type == Type::s64;
}

bool is_integer(Type type) {
  switch (type) {
    case Type::b8:
    case Type::u8:
    case Type::b16:
    case Type::u16:
    case Type::b32:
    case Type::u32:
    case Type::b64:
    case Type::u64:
      return true;
    default:
      return is_signed(type);
  }
}

}  // namespace sqf
