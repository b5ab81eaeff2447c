// The packed-model runtime in WebAssembly, for pages and for node. All numbers are the native library's, bit for bit.

const decoder = new TextDecoder();

/** What the runtime says of a file or an image that it refuses: `message` and `hint`. The instance is dead afterwards. */
export class ReactnetError extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

/** A model that is open: make one with `open`. */
export class Model {
  #exports;

  /**
   * Checks and opens a packed file.
   * @param {WebAssembly.Module} wasm compiled from reactnet.wasm
   * @param {Uint8Array} file the bytes of a .rnet file
   */
  static async open(wasm, file) {
    const instance = await WebAssembly.instantiate(wasm, {});
    return new Model(instance.exports, file);
  }

  constructor(exports, file) {
    this.#exports = exports;
    exports._initialize();
    this.#call(() => {
      const room = exports.reactnet_allocate(file.length);
      this.#bytes(room, file.length).set(file);
      exports.reactnet_open(room, file.length);
      exports.reactnet_free(room);
    });
    this.graph = JSON.parse(this.#text(exports.reactnet_metadata()));
    this.plan = JSON.parse(this.#text(exports.reactnet_plan()));
    [this.height, this.width, this.channels] = this.graph.input.shape;
    this.fileBytes = file.length;
  }

  /** Resizes and crops pixels (height x width x channels, rows packed) into the model's input, as the file says. */
  setPixels(pixels, height, width) {
    this.#call(() => {
      const room = this.#exports.reactnet_allocate(pixels.length);
      this.#bytes(room, pixels.length).set(pixels);
      this.#exports.reactnet_preprocess(room, height, width);
      this.#exports.reactnet_free(room);
    });
  }

  /** The input itself: height x width x channels bytes of the model's size. */
  setInput(pixels) {
    const size = this.height * this.width * this.channels;
    if (pixels.length !== size) {
      throw new ReactnetError(`the input has ${pixels.length} bytes, not ${size}`, "use setPixels for other sizes");
    }
    this.#bytes(this.#call(() => this.#exports.reactnet_image()), size).set(pixels);
  }

  /** Runs the image that was set; returns the logits, a Float32Array of its own. */
  run() {
    return this.#logits(this.#call(() => this.#exports.reactnet_run()));
  }

  /** The same, a step at a time: returns the logits and the milliseconds of each step of the plan. */
  runTimed(now) {
    const milliseconds = [];
    this.#call(() => {
      for (let step = 0; step < this.plan.steps.length; ++step) {
        const begin = now();
        this.#exports.reactnet_run_step(step);
        milliseconds.push(now() - begin);
      }
    });
    return { logits: this.#logits(this.#exports.reactnet_run_end()), milliseconds };
  }

  get classes() {
    return this.graph.class_names.length > 0 ? this.graph.class_names : null;
  }

  // A trap ends the instance; the text of the fault can still be read.
  #call(body) {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      const { reactnet_message, reactnet_hint } = this.#exports;
      throw new ReactnetError(this.#text(reactnet_message()), this.#text(reactnet_hint()));
    }
  }

  #bytes(address, length) {
    return new Uint8Array(this.#exports.memory.buffer, address, length);
  }

  #text(address) {
    const bytes = new Uint8Array(this.#exports.memory.buffer, address);
    return decoder.decode(bytes.subarray(0, bytes.indexOf(0)));
  }

  #logits(address) {
    return new Float32Array(this.#exports.memory.buffer, address, this.#exports.reactnet_classes()).slice();
  }
}

/** Probabilities of logits, for display: the format makes no promise about them. */
export function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
