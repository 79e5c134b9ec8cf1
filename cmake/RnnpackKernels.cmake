# rnnpack_add_kernels(<target>): compiles csrc/kernels/<isa>.cpp once for each instruction set of this architecture,
# each with its own flags, into <target>. No other file is compiled for more than the architecture's baseline.
function(rnnpack_add_kernels target)
  set(isas scalar)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND isas avx2 avx512)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    list(APPEND isas neon)
  endif()
  set(flags_scalar)
  set(flags_neon)
  set(flags_avx2 -mavx2 -mfma)
  set(flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC's own AVX-512 headers trip its warning (bug 105593).
    list(APPEND flags_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  foreach(isa IN LISTS isas)
    set(source ${PROJECT_SOURCE_DIR}/csrc/kernels/${isa}.cpp)
    target_sources(${target} PRIVATE ${source})
    # Every product and sum is written out: nothing is contracted behind the reader's back.
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-O3;-ffp-contract=off;${flags_${isa}}")
  endforeach()
endfunction()
