# CUDA kernels without a CUDA runtime: nvcc makes one fatbin of each .cu, with code for every architecture and PTX for
# those to come, and a library carries them for the driver to load. No language CUDA: it would link with cudart.
# SQF_CUDA_ENABLED says whether there is an nvcc; sqf_add_kernels() makes the library.
set(SQF_CUDA AUTO CACHE STRING "Build the CUDA kernels: ON, OFF, or AUTO for where an nvcc is found")
set_property(CACHE SQF_CUDA PROPERTY STRINGS AUTO ON OFF)
set(SQF_NVCC "" CACHE PATH "nvcc, or the folder of a toolkit or of a Python environment that has one")
set(SQF_CUDA_ARCHS "80 86 89 90 100 120" CACHE STRING
    "Compute capabilities to compile for, without points; those that nvcc does not know are left out")
set(SQF_NVCC_OLDEST 12.0)
set(SQF_NVCC_FLAGS -std=c++20 --expt-relaxed-constexpr --allow-unsupported-compiler --no-compress)

# Where an nvcc may be. Python environments: PyPI's nvidia-cuda-nvcc, from 13.0 on.
function(sqf_nvcc_candidates out)
  if(SQF_NVCC)
    set(candidates ${SQF_NVCC})
    if(IS_DIRECTORY ${SQF_NVCC})
      set(wheel nvidia/cu*/bin/nvcc)
      file(GLOB candidates ${SQF_NVCC}/nvcc ${SQF_NVCC}/bin/nvcc ${SQF_NVCC}/${wheel}
           ${SQF_NVCC}/lib/python3*/site-packages/${wheel})
    endif()
  else()
    set(candidates "")
    foreach(name ${CMAKE_CUDA_COMPILER} $ENV{CUDACXX})
      find_program(path ${name} NO_CACHE)
      list(APPEND candidates ${path})
      unset(path)
    endforeach()
    foreach(root ${CUDAToolkit_ROOT} $ENV{CUDAToolkit_ROOT} $ENV{CUDA_PATH} /usr/local/cuda)
      list(APPEND candidates ${root}/bin/nvcc)
    endforeach()
    find_program(SQF_NVCC_IN_PATH nvcc)
    mark_as_advanced(SQF_NVCC_IN_PATH)
    list(APPEND candidates ${SQF_NVCC_IN_PATH})
  endif()
  set(${out} ${candidates} PARENT_SCOPE)
endfunction()

# Compiles a kernel with the headers that kernels need: a toolkit may lack a part. Sets `out` to why it cannot be
# used, or to nothing.
function(sqf_check_nvcc nvcc out version_out)
  set(${version_out} "" PARENT_SCOPE)
  execute_process(COMMAND ${nvcc} --version OUTPUT_VARIABLE text ERROR_VARIABLE text RESULT_VARIABLE failed)
  if(failed OR NOT text MATCHES "release ([0-9]+\\.[0-9]+)")
    set(${out} "is no nvcc that runs" PARENT_SCOPE)
    return()
  endif()
  set(version ${CMAKE_MATCH_1})
  if(version VERSION_LESS SQF_NVCC_OLDEST)
    set(${out} "is ${version}, older than ${SQF_NVCC_OLDEST}" PARENT_SCOPE)
    return()
  endif()
  set(probe ${CMAKE_BINARY_DIR}/CMakeFiles/sqf_nvcc)
  file(WRITE ${probe}/probe.cu "#include <cuda_fp16.h>\nextern \"C\" __global__ void probe(half* x) { *x = __hneg(*x); }\n")
  execute_process(
    COMMAND ${nvcc} -ccbin ${SQF_CUDA_HOST_COMPILER} ${SQF_NVCC_FLAGS} --fatbin
            -gencode arch=compute_80,code=sm_80 -o ${probe}/probe.fatbin ${probe}/probe.cu
    OUTPUT_VARIABLE text ERROR_VARIABLE text RESULT_VARIABLE failed)
  if(failed)
    set(${out} "cannot compile:\n${text}" PARENT_SCOPE)
    return()
  endif()
  set(${version_out} ${version} PARENT_SCOPE)
  set(${out} "" PARENT_SCOPE)
endfunction()

# SQF_NVCC_PATH and SQF_NVCC_VERSION in the cache, looked for again when the options change.
function(sqf_find_nvcc reasons_out)
  sqf_nvcc_candidates(candidates)
  set(asked "${candidates}|${SQF_CUDA_HOST_COMPILER}|${SQF_NVCC_FLAGS}")
  if(SQF_NVCC_PATH AND asked STREQUAL "${SQF_NVCC_ASKED}" AND EXISTS ${SQF_NVCC_PATH})
    return()
  endif()
  set(SQF_NVCC_PATH "" CACHE INTERNAL "")
  set(reasons "")
  foreach(nvcc ${candidates})
    if(NOT EXISTS ${nvcc})
      continue()
    endif()
    sqf_check_nvcc(${nvcc} reason version)
    if(reason STREQUAL "")
      set(SQF_NVCC_PATH ${nvcc} CACHE INTERNAL "")
      set(SQF_NVCC_VERSION ${version} CACHE INTERNAL "")
      set(SQF_NVCC_ASKED "${asked}" CACHE INTERNAL "")
      return()
    endif()
    string(APPEND reasons "\n  ${nvcc} ${reason}")
  endforeach()
  if(reasons STREQUAL "" AND SQF_NVCC)
    set(reasons "\n  SQF_NVCC is ${SQF_NVCC}: there is none")
  endif()
  set(${reasons_out} "${reasons}" PARENT_SCOPE)
endfunction()

# The compiler that nvcc preprocesses with.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  set(SQF_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
else()
  set(SQF_CUDA_HOST_COMPILER g++)
endif()

set(SQF_CUDA_ENABLED OFF)
if(SQF_CUDA STREQUAL AUTO OR SQF_CUDA)
  sqf_find_nvcc(reasons)
  if(SQF_NVCC_PATH)
    set(SQF_CUDA_ENABLED ON)
    # For .incbin, and here because a language is for every folder below.
    enable_language(ASM)
  elseif(SQF_CUDA STREQUAL AUTO AND NOT SQF_NVCC)
    message(STATUS "CUDA kernels: left out, no nvcc${reasons}")
  else()
    message(FATAL_ERROR "No usable nvcc of ${SQF_NVCC_OLDEST} or newer for SQF_CUDA=${SQF_CUDA}.${reasons}\n"
      "Install a CUDA toolkit, or in a Python environment\n"
      "  python3 -m pip install nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt nvidia-cuda-runtime nvidia-cuda-cccl\n"
      "and name it: -DSQF_NVCC=<path of nvcc, of the toolkit or of the environment>. Or -DSQF_CUDA=OFF.")
  endif()
endif()

# -gencode options: machine code for what was asked for and nvcc knows, PTX for everything from 8.0 on.
if(SQF_CUDA_ENABLED)
  execute_process(COMMAND ${SQF_NVCC_PATH} --list-gpu-code OUTPUT_VARIABLE known)
  string(REGEX MATCHALL "sm_[0-9]+[a-z]?" known "${known}")
  string(REPLACE " " ";" archs "${SQF_CUDA_ARCHS}")
  set(SQF_CUDA_GENCODE -gencode arch=compute_80,code=compute_80)
  set(SQF_CUDA_BUILT_ARCHS "")
  foreach(arch ${archs})
    if(sm_${arch} IN_LIST known)
      list(APPEND SQF_CUDA_GENCODE -gencode arch=compute_${arch},code=sm_${arch})
      list(APPEND SQF_CUDA_BUILT_ARCHS ${arch})
    endif()
  endforeach()
  # cuda.h, whose types the runtime needs: beside nvcc in a toolkit as in a Python environment.
  cmake_path(GET SQF_NVCC_PATH PARENT_PATH SQF_CUDA_INCLUDE)
  cmake_path(GET SQF_CUDA_INCLUDE PARENT_PATH SQF_CUDA_INCLUDE)
  cmake_path(APPEND SQF_CUDA_INCLUDE include)
  list(JOIN SQF_CUDA_BUILT_ARCHS " " text)
  message(STATUS "CUDA kernels: nvcc ${SQF_NVCC_VERSION} (${SQF_NVCC_PATH}) for ${text}")
endif()

# sqf_add_kernels(TARGET name SOURCES a.cu b.cu HEADERS c.cuh): a library with sqf::fatbins() of cuda/fatbins.hpp, and
# resources.json in the folder's build folder, which says what every kernel takes.
function(sqf_add_kernels)
  cmake_parse_arguments(ARG "" "TARGET" "SOURCES;HEADERS" ${ARGN})
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/${ARG_TARGET}.dir)
  file(MAKE_DIRECTORY ${folder})
  set(assembly "")
  set(declarations "")
  set(rows "")
  set(fatbins "")
  set(logs "")
  foreach(source ${ARG_SOURCES})
    cmake_path(GET source STEM name)
    cmake_path(ABSOLUTE_PATH source)
    set(fatbin ${folder}/${name}.fatbin)
    set(log ${folder}/${name}.ptxas)
    add_custom_command(OUTPUT ${fatbin} ${log} VERBATIM DEPFILE ${fatbin}.d
      COMMAND ${CMAKE_COMMAND} -DLOG=${log} -P ${PROJECT_SOURCE_DIR}/cmake/run_ptxas.cmake --
              ${SQF_NVCC_PATH} -ccbin ${SQF_CUDA_HOST_COMPILER} ${SQF_NVCC_FLAGS} -Xptxas -v -I ${PROJECT_SOURCE_DIR}
              ${SQF_CUDA_GENCODE} -MD -MF ${fatbin}.d -MT ${fatbin} --fatbin -o ${fatbin} ${source}
      DEPENDS ${source} ${SQF_NVCC_PATH} ${PROJECT_SOURCE_DIR}/cmake/run_ptxas.cmake
      COMMENT "nvcc ${name}.cu")
    list(APPEND fatbins ${fatbin})
    list(APPEND logs ${log})
    set(symbol ${ARG_TARGET}_${name})
    string(APPEND assembly "  .balign 64\n  .globl ${symbol}_begin, ${symbol}_end\n"
      "  .hidden ${symbol}_begin, ${symbol}_end\n"
      "${symbol}_begin:\n  .incbin \"${name}.fatbin\"\n${symbol}_end:\n")
    string(APPEND declarations "extern \"C\" const std::byte ${symbol}_begin[], ${symbol}_end[];\n")
    string(APPEND rows "    {\"${name}\", ${symbol}_begin, ${symbol}_end},\n")
  endforeach()

  file(CONFIGURE OUTPUT ${folder}/fatbins.S @ONLY CONTENT
"  .section .rodata.sqf_fatbins, \"a\", %progbits
${assembly}  .section .note.GNU-stack, \"\", %progbits
")
  file(CONFIGURE OUTPUT ${folder}/fatbins.cpp @ONLY CONTENT
"#include \"cuda/fatbins.hpp\"

${declarations}
namespace sqf {

std::span<const Fatbin> fatbins() {
  static const Fatbin all[] = {
${rows}  };
  return all;
}

}  // namespace sqf
")
  set_source_files_properties(${folder}/fatbins.S PROPERTIES
    OBJECT_DEPENDS "${fatbins}" COMPILE_OPTIONS "-I${folder}")
  add_library(${ARG_TARGET} STATIC ${folder}/fatbins.S ${folder}/fatbins.cpp ${ARG_HEADERS})
  target_link_libraries(${ARG_TARGET} PUBLIC sqf_options)

  # Python is for this list alone.
  find_package(Python3 COMPONENTS Interpreter QUIET)
  if(Python3_Interpreter_FOUND)
    set(script ${PROJECT_SOURCE_DIR}/cmake/ptxas_resources.py)
    set(resources ${CMAKE_CURRENT_BINARY_DIR}/resources.json)
    add_custom_command(OUTPUT ${resources} VERBATIM
      COMMAND Python3::Interpreter ${script} ${logs} -o ${resources}
      DEPENDS ${script} ${logs})
    add_custom_target(${ARG_TARGET}_resources ALL DEPENDS ${resources})
  endif()
endfunction()
