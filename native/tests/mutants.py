"""What mutations.py breaks: places in kernels, planner, threads and readers, and who is asked whether they notice."""

from dataclasses import dataclass

KERNELS = "native/kernels"
SOURCES = "native/src"


@dataclass(frozen=True)
class Mutant:
    """In `file`, `old`, which stands there once or more, becomes `new` at its first place.

    `by` names the tests that are to notice, any of them: "check" (every kernel against scalar.cc), "table" (every op
    against the NumPy reference, fused and not), "threads" and "memory" (programs of this folder), "readers" (both
    readers on hostile files). `short` marks one of each kind, for a run of a few minutes.
    """

    what: str
    file: str
    old: str
    new: str
    by: tuple[str, ...] = ("check", "table")
    short: bool = False


def kernel(what: str, path: str, old: str, new: str, *, short: bool = False) -> Mutant:
    """A mutant of a kernel's file."""
    return Mutant(what, f"{KERNELS}/{path}", old, new, short=short)


SCALAR = (
    kernel("sign: > for >=", "sign/scalar.cc", ">= 0.0f", "> 0.0f", short=True),
    kernel("sign: the shift left out", "sign/scalar.cc", "in[c] + shift[c]", "in[c]"),
    kernel(
        "bconv2d scalar: the next sign > for >=",
        "bconv2d/scalar.cc",
        "args.next_shift[o] >= 0.0f",
        "args.next_shift[o] > 0.0f",
    ),
    kernel("bconv2d scalar: the slope where y is 0", "bconv2d/scalar.cc", "y = y >= 0.0f ?", "y = y > 0.0f ?"),
    kernel("windows: a tap too many", "window.h", "size - first < kernel ?", "size - first + 1 < kernel ?"),
    kernel("windows: the first tap outside", "window.h", "first < 0 ? -first : 0", "first < 0 ? -first - 1 : 0"),
    kernel(
        "channels: swapped by one",
        "channels/scalar.cc",
        "args.in + p * args.in_stride",
        "args.in + (p ^ 1) % end * args.in_stride",
        short=True,
    ),
    kernel("quantize: a half away from even", "quantize/scalar.cc", "(t + big) - big", "(t + 0.25f + big) - big"),
    kernel("quantize: 128 steps", "quantize/scalar.cc", "127.0f / args.max", "128.0f / args.max"),
    kernel("relu: of -0", "elementwise/scalar.cc", "select(x < 0.0f, 0.0f, x)", "select(x <= 0.0f, 0.0f, x)"),
    kernel(
        "clip: bounds in the other order", "elementwise/scalar.cc", "select(x < lo, lo, x)", "select(x < hi, lo, x)"
    ),
    kernel("max_pool: the smallest", "pool/scalar.cc", "x[c] > out[c]", "x[c] < out[c]"),
)

AVX2 = (
    kernel(
        "sign AVX2: > for >=",
        "x86_avx2_lanes.h",
        "movemask_ps(_mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GE_OQ",
        "movemask_ps(_mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GT_OQ",
    ),
    kernel(
        "sign AVX2: a NaN is +1",
        "x86_avx2_lanes.h",
        "movemask_ps(_mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GE_OQ",
        "movemask_ps(_mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_NLT_UQ",
    ),
    kernel(
        "relu AVX2: by the instruction's maximum",
        "elementwise/lanes.h",
        "where_less(x, zero_floats(), zero_floats(), x)",
        "larger(x, zero_floats())",
    ),
    kernel(
        "elementwise: the second input of another block",
        "elementwise/blocks.h",
        "block.second += place;",
        "block.second += p;",
    ),
    kernel(
        "bconv2d AVX2: half of what the border takes",
        "bconv2d/x86_avx2.cc",
        "add_twice(c.sum, ones, lanes)",
        "add_twice(c.sum, ones, lanes / 2)",
        short=True,
    ),
    kernel(
        "bconv2d AVX2: padding of -1 as if of 0",
        "bconv2d/x86_avx2.cc",
        "args.shape.padding_value != 0 || ow",
        "args.shape.padding_value == 1 || ow",
    ),
    kernel(
        "bconv2d AVX2: the pixel past an odd row",
        "bconv2d/x86_avx2_epilogue.h",
        "strip.column[i] + 1 == width",
        "strip.column[i] == width",
    ),
    kernel("bconv2d AVX2: odd nibbles of whole words", "bconv2d/x86_avx2_rows.h", "v ^= v >> 2;", "v ^= v >> 3;"),
    kernel(
        "bconv2d AVX2: the last nibbles of a row forgotten",
        "bconv2d/x86_avx2.cc",
        "end - t == 2",
        "end - t == 3",
    ),
    kernel(
        "bconv2d AVX2: -0 as if below 0",
        "bconv2d/x86_avx2_epilogue.h",
        "may = may || bits == 0x80000000u;",
        "may = may || bits == 0x80000001u;",
    ),
    kernel("bconv2d AVX2: the last units of a row", "bconv2d/x86_avx2_rows.h", ": count - 4;", ": count - 3;"),
    kernel(
        "bconv2d AVX2: a piece begins where its first row does",
        "bconv2d/x86_avx2.cc",
        "int64_t t = piece.nibble;",
        "int64_t t = 0;",
    ),
    kernel(
        "bconv2d AVX2: signs > for >=",
        "bconv2d/x86_avx2_epilogue.h",
        "_mm256_cmp_ps(y, l.threshold, _CMP_GE_OQ)",
        "_mm256_cmp_ps(y, l.threshold, _CMP_GT_OQ)",
        short=True,
    ),
    kernel("quantize AVX2: fours out of order", "x86_avx2_lanes.h", "0, 4, 1, 5, 2, 6, 3, 7", "0, 1, 4, 5, 2, 6, 3, 7"),
    kernel("quantize AVX2: -126", "quantize/lanes.h", "set_floats(-127.0f)", "set_floats(-126.0f)"),
    kernel("max_pool AVX2: the last of equals", "pool/lanes.h", "return larger(x, m);", "return larger(m, x);"),
    kernel(
        "avg_pool AVX2: times the inverse",
        "pool/lanes.h",
        "divide(sum, count)",
        "multiply(sum, divide(set_floats(1.0f), count))",
    ),
    kernel(
        "linear_f32 AVX2: the bias first",
        "linear_f32/lanes.h",
        "sum[r] = add(sum[r], multiply(x, AllLanes::load(w)))",
        "sum[r] = subtract(sum[r], multiply(x, AllLanes::load(w)))",
    ),
    kernel(
        "conv_f32 AVX2: the second eight of the first",
        "conv_f32/lanes.h",
        "last = AllLanes::load(p + (kRegisters - 1) * kLanes)",
        "last = AllLanes::load(p)",
    ),
    kernel(
        "linear_f32 AVX-512: a stream begins where another does",
        "linear_f32/lanes.h",
        "weight + r / kSums * floats",
        "weight + r / kSums * kBlock",
    ),
    kernel(
        "conv_f32 AVX-512, pixels: what is outside is not zero",
        "conv_f32/x86_avx512_pixels.h",
        "numbers[c][kOutside] = 0.0F",
        "numbers[c][kOutside] = 1.0F",
    ),
    kernel(
        "conv_f32 AVX-512, pixels: the last tile of a row left out",
        "conv_f32/x86_avx512_pixels.h",
        "p + kPixels == line.pixels",
        "p + 2 * kPixels > line.pixels",
    ),
    kernel(
        "conv_f32 AVX2, depthwise: the neighbour's channel",
        "conv_f32/lanes_depthwise.h",
        "lanes.load(in + m * r.in_step + kLanes)",
        "lanes.load(in + m * r.in_step)",
    ),
)

INTEGER = (
    kernel(
        "conv_i8 AVX-512: all groups taken together read the first one's channels",
        "conv_i8/x86_avx512vnni.cc",
        "o / own.outputs * own.channels % p.channels",
        "o / own.outputs * own.channels % own.channels",
    ),
    kernel(
        "conv_u8 AVX-512, pooled: the row above a window left out",
        "conv_u8/x86_avx512vnni_pooled.h",
        "h.write(out + pixel / 2 * step + half * 16, _mm512_max_epi32(three, vnni_load(at)))",
        "h.write(out + pixel / 2 * step + half * 16, three)",
    ),
    kernel(
        "conv_u8 AVX-512, pooled: a negative scale taken for a positive one",
        "conv_u8/x86_avx512vnni_pooled.h",
        "_mm512_srli_epi32(_mm512_castps_si512(scale), 31)",
        "_mm512_setzero_si512()",
    ),
    kernel(
        "conv_i8 AVX2: the last pixel's border",
        "conv_i8/x86_avx2.cc",
        "if (!whole) {\n    memset(patch, 0,",
        "if (whole) {\n    memset(patch, 0,",
    ),
    kernel(
        "conv_i8 AVX2: bytes without a sign",
        "conv_i8/x86_avx2.cc",
        "_mm256_cvtepi8_epi16",
        "_mm256_cvtepu8_epi16",
        short=True,
    ),
    kernel(
        "conv_i8 AVX2: outputs swapped by eight",
        "conv_i8/x86_avx2.cc",
        "load(sums + m * kBlock + 8)",
        "load(sums + m * kBlock)",
    ),
    kernel(
        "conv_i8 AVX2: the image's scale left out",
        "conv_i8/x86_avx2.cc",
        "_mm256_mul_ps(sum, _mm256_loadu_ps(args.scale + o))",
        "_mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(args.scale + o))",
    ),
    kernel(
        "conv_u8 AVX2: the border's last row",
        "conv_u8/x86_avx2_rows.h",
        "base + (1 + rows.end * ",
        "base + (1 + (rows.end - 1) * ",
    ),
    kernel(
        "conv_u8 AVX2: weights without a sign",
        "conv_u8/x86_avx2.cc",
        "static_cast<const int8_t*>(weight)[from]",
        "static_cast<const uint8_t*>(weight)[from]",
    ),
    kernel(
        "conv_u8 AVX2, four rows: a point with another's sign",
        "conv_u8/x86_avx2_four_rows.cc",
        "{0, 1, -1, 2, -2, 3}",
        "{0, -1, 1, 2, -2, 3}",
    ),
    kernel(
        "conv_u8 AVX2, four rows: rows past the map's last",
        "conv_u8/x86_avx2_four_rows.cc",
        "r < t.out_rows",
        "r < kRows",
        short=True,
    ),
    kernel(
        "conv_u8 AVX2, four rows: the border is the first row's",
        "conv_u8/x86_avx2_four_rows.cc",
        "t.start_row = rows ? 0 : kTile * kBlock",
        "t.start_row = 0",
    ),
    kernel(
        "linear_i8 AVX2: inputs past a chunk", "linear_i8/x86_avx2.cc", "widen(args, begin * 2,", "widen(args, begin,"
    ),
    kernel("conv_i8 VNNI: 127 for 128", "conv_i8/x86_avx512vnni.cc", "*sum -= 128 *", "*sum -= 127 *", short=True),
    kernel("conv_i8 VNNI: the border is -128", "conv_i8/x86_avx512vnni.cc", "memset(patch, 0x80,", "memset(patch, 0,"),
    kernel("conv_u8 VNNI: the border's columns", "conv_u8/x86_avx512vnni.cc", "p.ow > whole.begin &&", ""),
    kernel(
        "conv_u8 VNNI: the border", "conv_u8/x86_avx512vnni.cc", "inside ? base : starts", "!inside ? base : starts"
    ),
    kernel("conv_u8 VNNI: crumbs side by side", "conv_u8/x86_avx512vnni.cc", "there ? first << j", "there ? first"),
    kernel(
        "linear_i8 VNNI: every second four",
        "linear_i8/x86_avx512vnni.cc",
        "four_at(inputs + i + 4)",
        "four_at(inputs + i)",
    ),
    kernel(
        "VNNI: no start",
        "x86_avx512vnni_sums.h",
        "low = reinterpret_cast<VnniInts>(vnni_load(start));",
        "low = VnniInts{};",
    ),
)

# Emulated where the processor lacks it.
AVX512 = (
    kernel(
        "bconv2d AVX-512: the next sign > for >=",
        "bconv2d/x86_avx512_epilogue.h",
        "threshold, _CMP_GE_OQ));\n      });",
        "threshold, _CMP_GT_OQ));\n      });",
    ),
    kernel(
        "bconv2d AVX-512: an infinite shift as any other",
        "bconv2d/x86_avx512_epilogue.h",
        "_mm512_set1_ps(-__FLT_MAX__))",
        "negated)",
    ),
    kernel(
        "bconv2d AVX-512: an odd number of ones as an even one",
        "bconv2d/x86_avx512vpopcntdq.cc",
        "_mm512_sub_epi32(acc, _mm512_set1_epi32(2))",
        "acc",
    ),
    kernel(
        "bconv2d AVX-512: counts alone, an odd number of ones as an even one",
        "bconv2d/x86_avx512_tile.h",
        "acc + row.odd[ow];",
        "acc;",
    ),
    kernel(
        "bconv2d AVX-512: counts alone of empty windows",
        "bconv2d/x86_avx512_tile.h",
        "counts && is_flat(s.window) &&",
        "counts && l.columns == 1 &&",
    ),
    kernel(
        "bconv2d AVX-512: columns outside are counted",
        "bconv2d/x86_avx512_cuts.h",
        "border ? l.columns : last.end",
        "l.columns",
    ),
    kernel(
        "bconv2d AVX-512: a mean of three",
        "bconv2d/x86_avx512_epilogue.h",
        "_ps(mean.below ? 0.25f",
        "_ps(mean.below ? 0.3125f",
    ),
)

PLAN = (
    Mutant(
        "fuse: a value that others read is not written",
        f"{SOURCES}/fuse.cc",
        "readers_[step.value].size() == 1 && step.value != graph_.output",
        "!readers_[step.value].empty() && step.value != graph_.output",
        by=("table",),
    ),
    Mutant(
        "plan: a value's memory given away too early",
        f"{SOURCES}/plan.cc",
        "last[input] = i;",
        "last[input] = i > 0 ? i - 1 : 0;",
        by=("table",),
        short=True,
    ),
    Mutant(
        "threads: no wait between steps",
        f"{SOURCES}/session.cc",
        "        share.wait();\n",
        "",
        by=("threads", "table"),
    ),
    Mutant(
        "threads: two runs at once on one pool",
        f"{SOURCES}/pool.cc",
        "threads_ == 1 || !claim_.try_take()",
        "threads_ == 1 || (!claim_.try_take() && threads_ == 0)",
        by=("threads",),
    ),
    Mutant(
        "contexts: never BUSY",
        f"{SOURCES}/api.cc",
        "if (!claim_.try_take()) {",
        "if (!claim_.try_take() && &context == nullptr) {",
        by=("threads",),
    ),
    Mutant(
        "errors: memory that ran out is a fault of the library",
        f"{SOURCES}/api.cc",
        "catch (const std::bad_alloc&)",
        "catch (const std::bad_cast&)",
        by=("memory",),
        short=True,
    ),
)

READERS = (
    Mutant(
        "reader: any hash",
        f"{SOURCES}/file.cc",
        "if (found != digits)",
        "if (found == digits && digits.empty())",
        by=("readers",),
        short=True,
    ),
    Mutant(
        "reader: a hole between tensors",
        f"{SOURCES}/file.cc",
        "if (span.begin != covered)",
        "if (span.begin < covered)",
        by=("readers",),
    ),
    Mutant(
        "reader: bytes behind the last tensor",
        f"{SOURCES}/file.cc",
        "if (covered != data_bytes)",
        "if (covered > data_bytes)",
        by=("readers",),
    ),
    Mutant(
        "reader: 257 characters in a name",
        f"{SOURCES}/names.h",
        "name.size() <= 256",
        "name.size() <= 257",
        by=("readers",),
    ),
    Mutant("reader: JSON of depth 9", f"{SOURCES}/json.cc", "kMaxDepth = 8", "kMaxDepth = 9", by=("readers",)),
    Mutant("reader: tail bits", f"{SOURCES}/check.cc", ">> used != 0", ">> used == 7", by=("readers",)),
    Mutant(
        "reader: a sum past int32",
        f"{SOURCES}/check.cc",
        "kMaxSum = 0x7FFFFFFF",
        "kMaxSum = 0x80000010",
        by=("readers",),
    ),
    Mutant("reader: a sum past 2^24", f"{SOURCES}/ops.cc", "row > (1 << 24)", "row > (1 << 25)", by=("readers",)),
    Mutant(
        "reader: a value nobody reads", f"{SOURCES}/check.cc", "value.uses == 0", "value.uses > 99", by=("readers",)
    ),
    Mutant(
        "reader: a NaN in a constant",
        f"{SOURCES}/check.cc",
        "finite && std::isfinite",
        "finite || std::isfinite",
        by=("readers",),
    ),
)

MUTANTS = SCALAR + AVX2 + INTEGER + AVX512 + PLAN + READERS
