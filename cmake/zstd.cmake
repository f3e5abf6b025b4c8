# sqf_zstd: zstd to link with, the static one where there is one, so that the installed library needs libc alone.
# SQF_ZSTD_ARCHIVE is its path, or false.
find_path(SQF_ZSTD_INCLUDE zstd.h)
find_library(SQF_ZSTD_ARCHIVE libzstd.a)
find_library(SQF_ZSTD_SHARED zstd)
mark_as_advanced(SQF_ZSTD_INCLUDE SQF_ZSTD_ARCHIVE SQF_ZSTD_SHARED)
if(NOT SQF_ZSTD_INCLUDE OR NOT (SQF_ZSTD_ARCHIVE OR SQF_ZSTD_SHARED))
  message(FATAL_ERROR "zstd is missing: zstd.h and libzstd (Debian: libzstd-dev)")
endif()
add_library(sqf_zstd INTERFACE)
target_include_directories(sqf_zstd SYSTEM INTERFACE ${SQF_ZSTD_INCLUDE})
target_link_libraries(sqf_zstd INTERFACE
  $<IF:$<BOOL:${SQF_ZSTD_ARCHIVE}>,${SQF_ZSTD_ARCHIVE},${SQF_ZSTD_SHARED}>)
