// node run.mjs WASM < lines of JSON {"file", "pixels", "height", "width"}; each gets a line: {"logits", "timed", "again"} in hex,
// or {"error", "hint"}. A fresh instance for each file. Without height and width the pixels are the model's input itself.
import { readFileSync } from "node:fs";
import { Model, ReactnetError } from "../../web/runtime.js";

const hex = (logits) => Buffer.from(logits.buffer).toString("hex");
const wasm = new WebAssembly.Module(readFileSync(process.argv[2]));
if (WebAssembly.Module.imports(wasm).length !== 0) throw new Error("the module has imports");

async function answer({ file, pixels, height, width }) {
  try {
    const model = await Model.open(wasm, readFileSync(file));
    if (height === undefined) model.setInput(readFileSync(pixels));
    else model.setPixels(readFileSync(pixels), height, width);
    const logits = model.run();
    const { logits: timed } = model.runTimed(() => performance.now());
    return { logits: hex(logits), timed: hex(timed), again: hex(model.run()) };
  } catch (error) {
    if (!(error instanceof ReactnetError)) throw error;
    return { error: error.message, hint: error.hint };
  }
}

for (const line of readFileSync(0, "utf8").split("\n")) {
  if (line !== "") console.log(JSON.stringify(await answer(JSON.parse(line))));
}
