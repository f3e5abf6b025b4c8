# libsqf, the loader for others: format/ and loader/ behind the C functions of include/sqf.h. Every other name stays
# inside, and the shared library brings its C++ runtime along, so that it needs libc and libm alone.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set_target_properties(sqf_format sqf_loader PROPERTIES CXX_VISIBILITY_PRESET hidden
                                                       VISIBILITY_INLINES_HIDDEN ON)
foreach(target sqf_format sqf_loader)
  # No symbol of ours may be one for the whole process.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
endforeach()
# zstd, where format/ links with it: its archive goes into ours.
get_target_property(format_links sqf_format LINK_LIBRARIES)
set(zstd_archive "")
set(static_links stdc++ m)
if("sqf_zstd" IN_LIST format_links)
  if(SQF_ZSTD_ARCHIVE)
    set(zstd_archive ${SQF_ZSTD_ARCHIVE})
  else()
    list(APPEND static_links zstd)
  endif()
endif()

function(sqf_library target)
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                                 $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME sqf ARCHIVE_OUTPUT_DIRECTORY lib
                                             LIBRARY_OUTPUT_DIRECTORY lib)
  install(TARGETS ${target} EXPORT sqfTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
                                              ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endfunction()

if(SQF_SHARED)
  add_library(sqf_shared SHARED $<TARGET_OBJECTS:sqf_loader>)
  target_link_libraries(sqf_shared PRIVATE sqf_format)
  target_link_options(sqf_shared PRIVATE
    -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/sqf.map -Wl,--gc-sections -Wl,--as-needed)
  if(NOT SQF_SANITIZE)
    target_link_options(sqf_shared PRIVATE -static-libstdc++ -static-libgcc -Wl,-z,defs)
  endif()
  set_target_properties(sqf_shared PROPERTIES
    LINKER_LANGUAGE CXX EXPORT_NAME sqf VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/sqf.map)
  sqf_library(sqf_shared)
  set(static_name sqf_static)
else()
  set(static_name sqf)
endif()

# One object, in which only sqf_* is global: a program that brings the same libraries along, in other versions, meets
# none of ours.
set(merged ${CMAKE_CURRENT_BINARY_DIR}/libsqf.o)
add_custom_command(OUTPUT ${merged} VERBATIM COMMAND_EXPAND_LISTS
  COMMAND ${CMAKE_LINKER} -r --force-group-allocation -o ${merged} $<TARGET_OBJECTS:sqf_loader>
          $<TARGET_FILE:sqf_format> ${zstd_archive}
  COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=sqf_* ${merged}
  DEPENDS sqf_loader sqf_format)
set_source_files_properties(${merged} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
add_library(sqf_static STATIC ${merged})
target_link_libraries(sqf_static INTERFACE ${static_links})
# C: what it needs of C++ is named above, so that a C project can link with it.
set_target_properties(sqf_static PROPERTIES LINKER_LANGUAGE C EXPORT_NAME ${static_name})
sqf_library(sqf_static)

install(FILES include/sqf.h include/sqf.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS sqconv sqcheck sqrun RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/sqf)
install(EXPORT sqfTargets NAMESPACE sqf:: DESTINATION ${package})
configure_package_config_file(cmake/sqfConfig.cmake.in sqfConfig.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(sqfConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sqfConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/sqfConfigVersion.cmake
  DESTINATION ${package})

file(RELATIVE_PATH SQF_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" SQF_PC_TO_PREFIX "${SQF_PC_TO_PREFIX}")
list(TRANSFORM static_links PREPEND -l OUTPUT_VARIABLE private)
list(JOIN private " " SQF_PC_PRIVATE)
set(SQF_PC_STATIC_ONLY "")
if(NOT SQF_SHARED)
  set(SQF_PC_STATIC_ONLY " ${SQF_PC_PRIVATE}")
endif()
configure_file(cmake/sqf.pc.in sqf.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sqf.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
