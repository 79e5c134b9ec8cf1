# The GPU's plugin, librnnpack_cuda.so. Including this file finds nvcc and turns on CMake's CUDA language, which no
# function may do; rnnpack_add_cuda_plugin(<destination>) then builds the plugin and installs it into that folder of a
# wheel. Two projects include it: the main one where RNNPACK_CUDA is on, and cuda13/.

set(advice "Install the CUDA toolkit 13 and put its folder bin into PATH, or the path of its nvcc into CUDACXX. \
Without the plugin rnnpack needs neither: leave RNNPACK_CUDA off.")
if(NOT DEFINED ENV{CUDACXX})
  find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "The CUDA plugin: expected nvcc 13, found none. ${advice}")
  endif()
endif()
# Machine code for 8.0, which also runs on 8.6 and 8.9, and for 9.0, with the instructions that only 9.0 has. Those are
# why PTX for 9.0a would run nowhere else. PTX for 8.0 runs on every card from 8.0 on: the driver compiles it where
# no machine code fits, so for 10.0, 12.0 and what is still to come. Who builds for one card alone may say so.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90a-real)
endif()
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR "The CUDA plugin: expected nvcc 13, found ${CMAKE_CUDA_COMPILER_VERSION} in ${CMAKE_CUDA_COMPILER}. ${advice}")
endif()
# CMake before 3.26 does not know that nvcc has C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()

function(rnnpack_add_cuda_plugin destination)
  set(root ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/..)
  set(exports ${root}/cmake/rnnpack_cuda.exports)
  add_library(rnnpack_cuda MODULE
    ${root}/csrc/cuda/host_arrays.cu
    ${root}/csrc/cuda/memory.cu
    ${root}/csrc/cuda/packed_cell.cu
    ${root}/csrc/cuda/pinned_copy.cu
    ${root}/csrc/cuda/plugin.cu
    ${root}/csrc/cuda/sequence.cu
    ${root}/csrc/cuda/time_loop_bfloat16.cu
    ${root}/csrc/cuda/time_loop_float16.cu
    ${root}/csrc/cuda/time_loop_float32.cu
    ${root}/csrc/cuda/time_loop_float64.cu
    ${root}/csrc/cuda/time_loop_tfloat32.cu)
  target_include_directories(rnnpack_cuda PRIVATE ${root}/csrc)
  set_target_properties(rnnpack_cuda PROPERTIES
    CUDA_STANDARD 20
    CUDA_STANDARD_REQUIRED ON
    CUDA_EXTENSIONS OFF
    CUDA_RUNTIME_LIBRARY Static
    CUDA_VISIBILITY_PRESET hidden
    LINK_DEPENDS ${exports})
  # The cells' mathematics is constexpr, and as such device code; a call of the host's functions is an error there.
  target_compile_options(rnnpack_cuda PRIVATE
    --expt-relaxed-constexpr --Werror=cross-execution-space-call --threads=2 -Xcompiler=-Wall,-Wextra)
  target_link_options(rnnpack_cuda PRIVATE
    LINKER:--no-undefined LINKER:--version-script=${exports} LINKER:--gc-sections)
  if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_link_options(rnnpack_cuda PRIVATE LINKER:--strip-all)
  endif()
  install(TARGETS rnnpack_cuda LIBRARY DESTINATION ${destination})
endfunction()
