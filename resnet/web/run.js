"use strict";
// The net: its parts are run one after the other, until an exit is sure enough.
const at = (id) => document.getElementById(id);
const net = JSON.parse(at("net").textContent);
const [channels, tall, wide] = net.shape, size = channels * tall * wide;
const exits = net.macs.length, parts = [];

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const pixels = bytes(net.pixels);
const picture = (k) => pixels.subarray(k * size, (k + 1) * size);

// A packed file as bytes.
async function opened(name) {
  if (!(name in files)) throw new Error(`${name} is not there`);
  const packed = new Blob([bytes(files[name])]).stream();
  const whole = packed.pipeThrough(new DecompressionStream("gzip"));
  delete files[name]; // (its text is no longer needed)
  return new Uint8Array(await new Response(whole).arrayBuffer());
}

async function load() {
  if (typeof ort === "undefined") throw new Error("ort.js is not there");
  const mjs = URL.createObjectURL(new Blob([await opened("mjs")], { type: "text/javascript" }));
  Object.assign(ort.env.wasm, { numThreads: 1, wasmPaths: { mjs }, wasmBinary: await opened("wasm") });
  for (let k = 0; k < exits; k++)
    parts.push(await ort.InferenceSession.create(await opened(`part.${k}`)));
  await answer(picture(0), net.thresholds.map(() => 1)); // (the first time is a slow one)
}

// What the net takes: each value less its channel's mean, times its channel's scale.
function input(values) {
  const x = new Float32Array(size), plane = tall * wide;
  for (let k = 0; k < size; k++) {
    const c = Math.floor(k / plane);
    x[k] = (Math.fround(values[k] / 255) - net.mean[c]) * net.scale[c];
  }
  return new ort.Tensor("float32", x, [1, ...net.shape]);
}

const leaves = (score, bound) => (score > bound && bound < 1) || bound <= 0;

// What each exit says that is asked: the last of them answers.
async function answer(values, bounds) {
  const said = [];
  let x = input(values), time = 0;
  for (let k = 0; k < exits; k++) {
    const begin = performance.now(), found = await parts[k].run({ x });
    time += performance.now() - begin;
    const logits = [...found.logits.data], score = found.score.data[0];
    said.push({ logits, score, time, digit: logits.indexOf(Math.max(...logits)) });
    if (k === exits - 1 || leaves(score, bounds[k])) return said;
    x = found.on;
  }
}

// One after the other, as a part of the net runs for one picture at a time.
let last = Promise.resolve();
function next(work) {
  last = last.then(work, work);
  return last;
}
