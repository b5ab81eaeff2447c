#!/usr/bin/env bash
# The runtime as one WebAssembly module without imports.
#   native/wasm/build.sh OUT.wasm
# Needs Debian's clang, lld, wasi-libc, libc++-14-dev-wasm32 and libclang-rt-14-dev-wasm32. CXX names another clang++;
# CMAKE_CXX_COMPILER_LAUNCHER goes before it, as in CMake.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cxx=${CXX:-clang++}
headers=$(dirname "$(find /usr/lib/llvm-*/include/wasm32-wasi -path '*c++/v1/version' | head -1)")
version=$(sed -n 's/^version = "\([0-9.]*\)"$/\1/p' pyproject.toml)

# 64-bit sizes become 32-bit ones where memory is asked for: aligned.h has refused by then what does not fit.
flags=(--target=wasm32-wasi -std=c++17 -msimd128 -ffp-contract=off -fno-exceptions -fno-rtti -fno-threadsafe-statics
  -fno-c++-static-destructors -flto -fvisibility=hidden -Wall -Wextra -Wshadow -Wconversion -Wno-shorten-64-to-32 -Werror
  -isystem "$headers" -Inative/include -Inative/src -Inative/kernels "-DREACTNET_VERSION=\"$version\"")
jobs=$(nproc)
compile() {
  while [ "$(jobs -r | wc -l)" -ge "$jobs" ]; do wait -n; done
  ${CMAKE_CXX_COMPILER_LAUNCHER:-} "$cxx" "${flags[@]}" "${@:2}" -c "$1" -o "$work/${1//\//_}.o" &
}
for source in native/wasm/*.cc native/src/*.cc; do
  case $source in
    # What a module cannot have: threads, files, environment variables, and the C API, whose place module.cc takes.
    */api.cc | */pool.cc | */read_file.cc | */options.cc | */system.cc | *x86_* | *arm64_*) ;;
    # As an ordinary object: what it stands in for is not looked for in WASI's libraries.
    */libc.cc) compile "$source" -Oz -fno-lto ;;
    *) compile "$source" -Oz ;;
  esac
done
for source in native/kernels/*.cc native/kernels/*/*.cc; do
  case $source in
    *x86_* | *arm64_* | */bench.cc) ;;
    # Their kernels for simd128 take every shape: see their kernels.inc.
    */sign/scalar.cc | */quantize/scalar.cc | */linear_f32/scalar.cc | */elementwise/scalar.cc) ;;
    */bconv2d/scalar.cc | */conv_i8/scalar.cc) compile "$source" -Oz ;;  # for groups and odd shapes only
    *) compile "$source" -O2 ;;
  esac
done
for job in $(jobs -p); do wait "$job"; done
mkdir -p "$(dirname "$out")"
"$cxx" --target=wasm32-wasi -nostartfiles -O2 -flto -Wl,--lto-O2 -Wl,--no-entry -Wl,--gc-sections -Wl,--strip-all "$work"/*.o -o "$out"
