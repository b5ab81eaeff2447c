/* The shortest program that classifies an image with a packed file: C, no Python, one library.
 *   cc -std=c11 classify.c $(pkg-config --cflags --libs reactnet) -o classify && ./classify model.rnet image.ppm
 * The image is a binary PPM of maxval 255 without comments: `convert photo.jpg photo.ppm` writes one. */
#include <stdio.h>
#include <stdlib.h>

#include <reactnet.h>

static int fail(const char *problem, const char *hint) {
  fprintf(stderr, "error: %s\nhint: %s\n", problem, hint);
  return 2;
}

/* Pixels, height x width x 3, to be freed; NULL: not such a file. */
static uint8_t *read_ppm(const char *path, uint32_t *height, uint32_t *width) {
  uint8_t *pixels = NULL;
  FILE *file = fopen(path, "rb");
  if (file != NULL && fscanf(file, "P6 %5u %5u 255", width, height) == 2 && fgetc(file) != EOF && *height && *width) {
    const size_t size = (size_t)*height * *width * 3;
    pixels = malloc(size);
    if (pixels != NULL && fread(pixels, 1, size, file) != size) {
      free(pixels);
      pixels = NULL;
    }
  }
  if (file != NULL) fclose(file);
  return pixels;
}

int main(int argc, char **argv) {
  reactnet_error error = {.size = sizeof error};
  reactnet_info info = {.size = sizeof info};
  reactnet_model *model = NULL;
  reactnet_context *context = NULL;
  uint8_t *pixels = NULL, *input = NULL;
  float *logits = NULL;
  uint32_t height, width, best = 0;
  int code = 2;

  if (argc != 3) return fail("classify takes a model and an image", "classify model.rnet image.ppm");
  if (reactnet_model_open(argv[1], NULL, &model, &error) != REACTNET_OK ||
      reactnet_model_info(model, &info, &error) != REACTNET_OK ||
      reactnet_context_create(model, 0, &context, &error) != REACTNET_OK) {
    fail(error.message, error.hint);
    goto done;
  }
  if (info.channels != 3 || (pixels = read_ppm(argv[2], &height, &width)) == NULL) {
    fail("not a colour image and a model for it", "give a binary PPM (P6) of maxval 255, and a model of 3 channels");
    goto done;
  }
  input = malloc((size_t)info.height * info.width * info.channels);
  logits = malloc(info.classes * sizeof *logits);
  if (input == NULL || logits == NULL) {
    fail("out of memory", "use a smaller model");
    goto done;
  }
  if (reactnet_preprocess(model, pixels, height, width, input, &error) != REACTNET_OK ||
      reactnet_run_u8(context, input, 1, logits, &error) != REACTNET_OK) {
    fail(error.message, error.hint);
    goto done;
  }
  for (uint32_t i = 1; i < info.classes; ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  printf("class %u, logit %.9g\n", (unsigned)best, (double)logits[best]);
  code = 0;

done:
  free(logits);
  free(input);
  free(pixels);
  reactnet_context_free(context);
  reactnet_model_free(model);
  return code;
}
