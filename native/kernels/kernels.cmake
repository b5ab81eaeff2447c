# Sources of native/kernels for the target's architecture. Sets REACTNET_KERNEL_SOURCES (with src/isa.cc) and the flags of each
# ISA file. The including file adds native/src and native/kernels to the include path of the target that compiles them.
set(_kernels ${CMAKE_CURRENT_LIST_DIR})
set(_ops bconv2d conv_f32 conv_u8 conv_i8 linear_f32 linear_i8 quantize sign normalize elementwise channels pool)

set(REACTNET_KERNEL_SOURCES ${_kernels}/kernel_list.cc ${_kernels}/../src/isa.cc)
foreach(_op IN LISTS _ops)
  list(APPEND REACTNET_KERNEL_SOURCES ${_kernels}/${_op}/${_op}.cc ${_kernels}/${_op}/scalar.cc)
endforeach()

# The popcount peak is no op: it has loops, not kernels.
list(APPEND REACTNET_KERNEL_SOURCES ${_kernels}/peak/scalar.cc)
# Nor is the file's hash, which has instructions of its own.
list(APPEND REACTNET_KERNEL_SOURCES ${_kernels}/sha256/scalar.cc)
set(_sha256)

set(_avx2)
set(_avx512)
set(_neon)
set(_dotprod)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND _avx2
       ${_kernels}/bconv2d/x86_avx2.cc
       ${_kernels}/conv_f32/x86_avx2.cc
       ${_kernels}/conv_f32/x86_avx2_depthwise.cc
       ${_kernels}/conv_i8/x86_avx2.cc
       ${_kernels}/conv_u8/x86_avx2.cc
       ${_kernels}/conv_u8/x86_avx2_four_rows.cc
       ${_kernels}/elementwise/x86_avx2.cc
       ${_kernels}/linear_f32/x86_avx2.cc
       ${_kernels}/linear_i8/x86_avx2.cc
       ${_kernels}/peak/x86_avx2.cc
       ${_kernels}/pool/x86_avx2.cc
       ${_kernels}/quantize/x86_avx2.cc
       ${_kernels}/sign/x86_avx2.cc)
  list(APPEND _avx512
       ${_kernels}/bconv2d/x86_avx512vpopcntdq.cc
       ${_kernels}/conv_f32/x86_avx512.cc
       ${_kernels}/conv_f32/x86_avx512_depthwise.cc
       ${_kernels}/conv_i8/x86_avx512vnni.cc
       ${_kernels}/conv_u8/x86_avx512vnni.cc
       ${_kernels}/elementwise/x86_avx512.cc
       ${_kernels}/linear_f32/x86_avx512.cc
       ${_kernels}/linear_i8/x86_avx512vnni.cc
       ${_kernels}/peak/x86_avx512vpopcntdq.cc
       ${_kernels}/pool/x86_avx512.cc
       ${_kernels}/quantize/x86_avx512.cc
       ${_kernels}/sign/x86_avx512.cc)
  list(APPEND _sha256 ${_kernels}/sha256/x86_shani.cc)
  set(_sha256_flags "-msha;-msse4.1")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  list(APPEND _neon
       ${_kernels}/bconv2d/arm64_neon.cc
       ${_kernels}/conv_f32/arm64_neon.cc
       ${_kernels}/conv_f32/arm64_neon_depthwise.cc
       ${_kernels}/conv_i8/arm64_neon.cc
       ${_kernels}/conv_u8/arm64_neon.cc
       ${_kernels}/elementwise/arm64_neon.cc
       ${_kernels}/linear_f32/arm64_neon.cc
       ${_kernels}/linear_i8/arm64_neon.cc
       ${_kernels}/peak/arm64_neon.cc
       ${_kernels}/pool/arm64_neon.cc
       ${_kernels}/quantize/arm64_neon.cc
       ${_kernels}/sign/arm64_neon.cc)
  list(APPEND _dotprod
       ${_kernels}/conv_i8/arm64_dotprod.cc
       ${_kernels}/conv_u8/arm64_dotprod.cc
       ${_kernels}/linear_i8/arm64_dotprod.cc)
  list(APPEND _sha256 ${_kernels}/sha256/arm64_sha2.cc)
  set(_sha256_flags "-march=armv8-a+crypto")
endif()
list(APPEND REACTNET_KERNEL_SOURCES ${_avx2} ${_avx512} ${_neon} ${_dotprod} ${_sha256})

# -fno-trapping-math: selects may become vector selects; it changes no result, only exception flags that nobody reads.
set_source_files_properties(${REACTNET_KERNEL_SOURCES} PROPERTIES
  COMPILE_OPTIONS "${_level};-ffp-contract=off;-fno-exceptions;-fno-math-errno;-fno-trapping-math")
set_source_files_properties(${_avx2} PROPERTIES
  COMPILE_OPTIONS "${_level};-ffp-contract=off;-fno-exceptions;-fno-math-errno;-fno-trapping-math;-mavx2;-mpopcnt")
# -Wno-(maybe-)uninitialized: GCC 12 says it of its own avx512fintrin.h, wherever an intrinsic begins with an undefined register.
set_source_files_properties(${_avx512} PROPERTIES
  COMPILE_OPTIONS "${_level};-ffp-contract=off;-fno-exceptions;-fno-math-errno;-fno-trapping-math;-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512vpopcntdq;-mavx512vnni;$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-uninitialized>")
# With its generic tuning GCC 12 keeps pointers in vector registers, whose moves take the pipes of the sums: 3 to 4 % of layers that count little.
set_property(SOURCE ${_kernels}/bconv2d/x86_avx512vpopcntdq.cc APPEND PROPERTY COMPILE_OPTIONS
  "$<$<CXX_COMPILER_ID:GNU>:-mtune=skylake-avx512>")
# aarch64: GCC's first scheduler moves so many loads ahead in the inner loops that sums spill (98 instructions instead of 89 in bconv2d's).
set(_arm "${_level};-ffp-contract=off;-fno-exceptions;-fno-math-errno;-fno-trapping-math;$<$<CXX_COMPILER_ID:GNU>:-fno-schedule-insns>")
set_source_files_properties(${_neon} PROPERTIES COMPILE_OPTIONS "${_arm}")
set_source_files_properties(${_dotprod} PROPERTIES COMPILE_OPTIONS "${_arm};-march=armv8.2-a+dotprod")
set_source_files_properties(${_sha256} PROPERTIES COMPILE_OPTIONS "${_level};-fno-exceptions;${_sha256_flags}")
