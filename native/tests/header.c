/* The header is C: it compiles as C99, and a C program can use every call. Run with no argument: checks what needs no file. */
#include <stdio.h>
#include <string.h>

#include "reactnet.h"

static int failed(const char *what) {
  fprintf(stderr, "header.c: %s\n", what);
  return 1;
}

int main(void) {
  reactnet_error error = {sizeof(reactnet_error), 0, "", ""};
  reactnet_options options = {sizeof(reactnet_options), 1, "scalar"};
  reactnet_model *model = NULL;
  const uint8_t pixels[4] = {0, 100, 200, 100};
  uint8_t out = 0;
  double gmacs = 0;
  size_t steps = 0;

  if (reactnet_abi_version() != REACTNET_ABI_VERSION) {
    return failed("another ABI version");
  }
  if (strstr(reactnet_system(), "\"scalar\"") == NULL) {
    return failed("reactnet_system does not offer scalar");
  }
  if (reactnet_model_open("/nonexistent/model.rnet", &options, &model, &error) != REACTNET_ERROR_IO || model != NULL) {
    return failed("a missing file is not an IO error");
  }
  if (error.status != REACTNET_ERROR_IO || error.message[0] == '\0' || error.hint[0] == '\0') {
    return failed("an error without words");
  }
  if (reactnet_resize(pixels, 2, 2, 1, 1, 1, &out, &error) != REACTNET_OK || out != 100) {
    return failed("the mean of four pixels is not 100");
  }
  if (reactnet_popcount_peak(0.01, &gmacs, &error) != REACTNET_OK || !(gmacs > 0.1)) {
    return failed("no popcount peak");
  }
  if (reactnet_popcount_peak(0, &gmacs, &error) != REACTNET_ERROR_ARGUMENT) {
    return failed("a popcount peak in no time");
  }
  if (reactnet_context_step_times(NULL, NULL, &steps, &error) != REACTNET_ERROR_ARGUMENT) {
    return failed("step times of no context");
  }
  reactnet_model_free(model);
  reactnet_context_free(NULL);
  return 0;
}
