/* reactnet: run packed binary networks (.rnet, format 1; docs/format.md). A plain C API, the only door.
 *
 * No call exits, prints, or lets an exception out. There is no global state. Every call that can fail returns a status and,
 * when `error` is not NULL, fills in a message (what, with the value found) and a hint (the cure).
 */
#ifndef REACTNET_H
#define REACTNET_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define REACTNET_API __declspec(dllexport)
#elif defined(__GNUC__)
#define REACTNET_API __attribute__((visibility("default")))
#else
#define REACTNET_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define REACTNET_ABI_VERSION 1u

typedef enum reactnet_status {
  REACTNET_OK = 0,
  REACTNET_ERROR_IO = 1,          /* the file cannot be read, or is not a regular file */
  REACTNET_ERROR_FORMAT = 2,      /* not a packed file, or a malformed one */
  REACTNET_ERROR_VERSION = 3,     /* a format version that this reader does not list */
  REACTNET_ERROR_HASH = 4,        /* the bytes are not those that were written */
  REACTNET_ERROR_UNSUPPORTED = 5, /* an ISA that this machine lacks, f32 input to an integer file */
  REACTNET_ERROR_ARGUMENT = 6,
  REACTNET_ERROR_MEMORY = 7,
  REACTNET_ERROR_BUSY = 8,        /* the context is already running in another thread */
  REACTNET_ERROR_INTERNAL = 9
} reactnet_status;

/* Owned by the caller, who sets `size` to sizeof(reactnet_error) first (otherwise nothing is written). Texts are UTF-8, cut
 * between characters at the array's end. A call that succeeds leaves it as it was. */
typedef struct reactnet_error {
  uint32_t size;
  uint32_t status;
  char message[768];
  char hint[256];
} reactnet_error;

/* `size` = sizeof(reactnet_options); zeros elsewhere are the defaults. */
typedef struct reactnet_options {
  uint32_t size;
  uint32_t threads; /* counts the caller; 0: REACTNET_THREADS, else 1 */
  const char *isa;  /* ceiling: "scalar" "avx2" "avx512" "neon" "dotprod" "wasm"; NULL: REACTNET_ISA, else the best this machine has */
} reactnet_options;

/* `size` = sizeof(reactnet_info) on entry. */
typedef struct reactnet_info {
  uint32_t size;
  uint32_t height, width, channels; /* of the input image */
  uint32_t classes;
  uint32_t accepts_f32; /* 1: reactnet_run_f32 works */
  uint32_t threads;
  uint32_t steps;
  uint64_t arena_bytes;  /* of one context */
  uint64_t weight_bytes; /* as repacked for this machine */
  uint64_t file_bytes;
} reactnet_info;

typedef struct reactnet_model reactnet_model;     /* immutable, may be shared by threads; owns the thread pool */
typedef struct reactnet_context reactnet_context; /* one arena; one run at a time, else BUSY */

REACTNET_API uint32_t reactnet_abi_version(void);

/* JSON: {"version", "isa": best, "isas": [available here], "compiled": [isas in this build],
 * "kernels": [{"op", "name", "isa", "runs_here"}]}. A static string. */
REACTNET_API const char *reactnet_system(void);

/* Read, hash, validate, plan, repack. The file is opened without blocking, must be a regular file, and is read once. */
REACTNET_API reactnet_status reactnet_model_open(const char *path, const reactnet_options *options, reactnet_model **out,
                                                 reactnet_error *error);
REACTNET_API reactnet_status reactnet_model_open_memory(const void *data, size_t size, const reactnet_options *options,
                                                        reactnet_model **out, reactnet_error *error);
/* After every context of the model is freed. NULL is allowed. */
REACTNET_API void reactnet_model_free(reactnet_model *model);
REACTNET_API reactnet_status reactnet_model_info(const reactnet_model *model, reactnet_info *info, reactnet_error *error);
/* The graph JSON text of the file (docs/format.md, section 2); lives as long as the model. */
REACTNET_API const char *reactnet_model_metadata(const reactnet_model *model);
/* JSON: {"isa", "threads", "arena_bytes", "steps": [{"step", "op", "kernel", "nodes": [...]}]}; lives as long as the model. */
REACTNET_API const char *reactnet_model_plan(const reactnet_model *model);

#define REACTNET_KEEP_VALUES 1u /* keep every node's value of the last image, unfused: slow, for verify */
#define REACTNET_TIME_STEPS 2u  /* keep how long each step of the last run took */

REACTNET_API reactnet_status reactnet_context_create(const reactnet_model *model, uint32_t flags, reactnet_context **out,
                                                     reactnet_error *error);
REACTNET_API void reactnet_context_free(reactnet_context *context);

/* images: count x H x W x C, NHWC; logits: count x classes. Each image is computed by itself, so a batch gives the bits of single
 * runs; so does any number of threads. Contexts of one model may run at once in different threads: the model's thread pool serves
 * one run at a time, the others run on their caller's thread alone. The floating-point control word is set for the run and put
 * back. The pool's threads are made at the first run, and again in a process that was forked. */
REACTNET_API reactnet_status reactnet_run_u8(reactnet_context *context, const uint8_t *images, size_t count, float *logits,
                                             reactnet_error *error);
/* Images after normalisation. One that is not finite is an ARGUMENT error, before anything runs; a file that does not accept f32
 * (reactnet_info.accepts_f32) is UNSUPPORTED. */
REACTNET_API reactnet_status reactnet_run_f32(reactnet_context *context, const float *images, size_t count, float *logits,
                                              reactnet_error *error);
/* A node's value for the last image, of a context made with REACTNET_KEEP_VALUES. `*bytes` holds the room in `out` on entry and
 * the value's size on return (out = NULL asks for the size only). f32: H W C floats. bits: H W words u64. i8: H W C bytes, then the f32 scale. */
REACTNET_API reactnet_status reactnet_context_value(const reactnet_context *context, const char *node, void *out, size_t *bytes,
                                                    reactnet_error *error);

/* Wall seconds that each step of the last run took, summed over its images, of a context made with REACTNET_TIME_STEPS. In the order of
 * reactnet_model_plan; with REACTNET_KEEP_VALUES too, a step a node. `*count` holds the room in `seconds` on entry and the number of steps
 * on return (seconds = NULL asks for the number only). A step ends when every thread has done its share. */
REACTNET_API reactnet_status reactnet_context_step_times(const reactnet_context *context, double *seconds, size_t *count,
                                                         reactnet_error *error);

/* Resize and centre-crop as the file's preprocessing says. pixels: height x width x channels (the model's channels), rows packed.
 * out: one image of the model's input size. */
REACTNET_API reactnet_status reactnet_preprocess(const reactnet_model *model, const uint8_t *pixels, uint32_t height,
                                                 uint32_t width, uint8_t *out, reactnet_error *error);
/* The same bilinear resize for anyone: equal to Pillow's to the bit. channels 1 to 4. Images and results have sides of 1 to 2^20 and
 * at most 2^28 pixels, else ARGUMENT. */
REACTNET_API reactnet_status reactnet_resize(const uint8_t *pixels, uint32_t height, uint32_t width, uint32_t channels,
                                             uint32_t out_height, uint32_t out_width, uint8_t *out, reactnet_error *error);

/* The floor to compare a binary network with: the best rate, in 1e9 multiply-accumulates of one bit a second, at which one thread of
 * this CPU counts bits with plain popcounts (exclusive or, count, add; data in the first cache), whatever ISA is forced. It works for
 * about `seconds` (above 0, at most 60); a shared machine needs several calls, of which the largest counts. */
REACTNET_API reactnet_status reactnet_popcount_peak(double seconds, double *gmacs, reactnet_error *error);

#ifdef __cplusplus
}
#endif
#endif /* REACTNET_H */
