// The page: a picture or the camera in, the top five, the time and the layers out.
//   ?model=FILE.rnet and ?image=FILE.png name files beside the page, so that a link can show an example.
import { Model, ReactnetError, softmax } from "./runtime.js";

const TOP = 5;
const REPEATS = 5; // the fastest of so many runs is shown: engines compile while they run
const element = (id) => document.getElementById(id);
const canvas = element("picture");
const asked = new URLSearchParams(location.search);

let wasm = null;
let model = null;
let modelFile = null;
let camera = null;

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

async function fetchBytes(name) {
  const reply = await fetch(name);
  if (!reply.ok) throw new ReactnetError(`${name}: ${reply.status} ${reply.statusText}`, "put the file beside the page");
  return new Uint8Array(await reply.arrayBuffer());
}

async function openModel(file) {
  model = await Model.open(wasm, file);
  modelFile = file;
  element("bytes").textContent = `${(file.length / 1024).toFixed(file.length < 102400 ? 1 : 0)} KiB`;
  element("name").textContent = model.graph.model;
  say(`Ready: ${model.width}x${model.height} pixels, ${model.channels === 1 ? "grey" : "colour"}`);
}

// Draws upright on white, as the decoder of `reactnet predict` does; returns the pixels in the model's channels.
function draw(source, width, height) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  const rgba = context.getImageData(0, 0, width, height).data;
  const pixels = new Uint8Array(width * height * model.channels);
  for (let i = 0, o = 0; i < rgba.length; i += 4) {
    if (model.channels === 1) {
      pixels[o++] = (rgba[i] * 19595 + rgba[i + 1] * 38470 + rgba[i + 2] * 7471 + 0x8000) >> 16; // ITU-R 601, as Pillow rounds
    } else {
      pixels[o++] = rgba[i];
      pixels[o++] = rgba[i + 1];
      pixels[o++] = rgba[i + 2];
    }
  }
  return pixels;
}

function classify(source, width, height) {
  model.setPixels(draw(source, width, height), height, width);
  let best = null;
  let fastest = Infinity;
  for (let i = 0; i < REPEATS; ++i) {
    const run = model.runTimed(() => performance.now());
    const total = run.milliseconds.reduce((a, b) => a + b, 0);
    if (total < fastest) [best, fastest] = [run, total];
  }
  show(best, fastest);
}

function show({ logits, milliseconds }, total) {
  const shares = softmax(logits);
  const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a] || a - b).slice(0, TOP);
  element("top").replaceChildren(...order.map((k) => {
    const row = document.createElement("li");
    const percent = `${(100 * shares[k]).toFixed(1)} %`;
    row.style.setProperty("--share", percent.replace(" ", ""));
    row.append(Object.assign(document.createElement("span"), { textContent: model.classes?.[k] ?? `class ${k}` }), percent);
    return row;
  }));
  element("ms").textContent = total < 0.1 ? "below 0.1 ms" : `${total.toFixed(total < 10 ? 2 : 1)} ms`;
  element("top").dataset.logits = Array.from(new Uint8Array(logits.buffer), (b) => b.toString(16).padStart(2, "0")).join("");
  say("Done, in this page");
  showSteps(milliseconds, total);
}

function showSteps(milliseconds, total) {
  element("layers").hidden = false;
  const most = Math.max(...milliseconds, Number.MIN_VALUE);
  const bars = [];
  const rows = [];
  model.plan.steps.forEach((step, i) => {
    const share = total > 0 ? milliseconds[i] / total : 1 / milliseconds.length;
    const bar = document.createElement("span");
    bar.style.flexGrow = String(Math.max(share, 0.001));
    bar.style.setProperty("--tone", String(0.35 + 0.65 * (milliseconds[i] / most)));
    bar.title = `${step.nodes[0]}: ${milliseconds[i].toFixed(3)} ms`;
    bars.push(bar);
    const row = document.createElement("tr");
    for (const text of [step.nodes[0], step.kernel, milliseconds[i].toFixed(3)]) {
      row.append(Object.assign(document.createElement("td"), { textContent: text }));
    }
    rows.push(row);
  });
  element("bar").replaceChildren(...bars);
  element("steps").replaceChildren(...rows);
}

// A fault ends the instance: say it, and make a new one of the model that worked.
async function guarded(body) {
  try {
    await body();
  } catch (error) {
    say(error instanceof ReactnetError ? `${error.message}. ${error.hint}.` : `${error.message ?? error}`, true);
    if (modelFile !== null) model = await Model.open(wasm, modelFile);
  }
}

async function classifyBlob(blob) {
  stopCamera();
  const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  classify(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  element("prompt").textContent = "Drop another picture";
}

async function startCamera() {
  const video = element("video");
  camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  video.srcObject = camera;
  await video.play();
  element("camera").setAttribute("aria-pressed", "true");
  const frame = () => {
    if (camera === null) return;
    guarded(() => classify(video, video.videoWidth, video.videoHeight));
    setTimeout(() => requestAnimationFrame(frame), 100); // ten a second: the page stays responsive
  };
  frame();
}

function stopCamera() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  element("camera").setAttribute("aria-pressed", "false");
}

function listen() {
  const drop = element("drop");
  element("file").addEventListener("change", (event) => event.target.files[0] && guarded(() => classifyBlob(event.target.files[0])));
  element("camera").addEventListener("click", () => (camera === null ? guarded(startCamera) : stopCamera()));
  element("model").addEventListener("change", (event) => event.target.files[0] &&
    guarded(async () => openModel(new Uint8Array(await event.target.files[0].arrayBuffer()))));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
    });
  }
  drop.addEventListener("drop", (event) => guarded(async () => {
    const file = event.dataTransfer.files[0];
    if (file === undefined) return;
    await (file.name.endsWith(".rnet") ? openModel(new Uint8Array(await file.arrayBuffer())) : classifyBlob(file));
  }));
  document.addEventListener("paste", (event) => event.clipboardData.files[0] && guarded(() => classifyBlob(event.clipboardData.files[0])));
}

await guarded(async () => {
  wasm = await WebAssembly.compile(await fetchBytes("reactnet.wasm"));
  await openModel(await fetchBytes(asked.get("model") ?? "model.rnet"));
  listen();
  if (asked.has("image")) await classifyBlob(new Blob([await fetchBytes(asked.get("image"))]));
});
