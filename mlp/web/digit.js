"use strict";
const net = JSON.parse(document.getElementById("net").textContent);
const side = 28, middle = 14, box = 20; // of a picture of MNIST: the ink's box, its centre of mass
const pen = 1.3; // half the width of a stroke, in pixels
const at = (id) => document.getElementById(id);

// Weights: of each output its values, and which inputs they belong to (none: all in turn).
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
function opened(p) {
  const starts = new Uint32Array(p.outputs + 1);
  const counts = p.counts && new Uint16Array(bytes(p.counts));
  for (let o = 0; o < p.outputs; o++) starts[o + 1] = starts[o] + (counts ? counts[o] : p.inputs);
  const scales = p.scales && new Float32Array(bytes(p.scales));
  const values = new Float32Array(scales ? new Int8Array(bytes(p.values)) : bytes(p.values));
  for (let o = 0; scales && o < p.outputs; o++)
    for (let k = starts[o]; k < starts[o + 1]; k++) values[k] *= scales[o];
  const columns = p.columns && new Uint16Array(bytes(p.columns));
  return { ...p, starts, values, columns, bias: p.bias && new Float32Array(bytes(p.bias)) };
}
const stages = net.stages.map(opened), heads = net.heads.map((h) => h && opened(h));
const input = (layer, o, k) => (layer.columns ? layer.columns[k] : k - layer.starts[o]);

function product(layer, x) {
  const y = new Float32Array(layer.outputs);
  for (let o = 0; o < layer.outputs; o++) {
    let sum = layer.bias ? layer.bias[o] : 0;
    for (let k = layer.starts[o]; k < layer.starts[o + 1]; k++)
      sum += layer.values[k] * x[input(layer, o, k)];
    y[o] = sum;
  }
  return y;
}

function shares(logits) {
  const top = Math.max(...logits), e = Array.from(logits, (z) => Math.exp(z - top));
  const sum = e.reduce((a, b) => a + b);
  return e.map((v) => v / sum);
}

// The answer of the first exit that is sure enough; seen: what each layer read.
function answer(x, bound) {
  const seen = [x];
  for (let i = 0, macs = 0, exit = 0; ; i++) {
    const last = i === stages.length - 1;
    x = product(stages[i], x);
    macs += stages[i].values.length;
    if (!last) seen.push((x = x.map((v) => Math.max(v, 0))));
    if (!last && !heads[i]) continue;
    const layer = last ? stages[i] : heads[i], logits = last ? x : product(layer, x);
    if (!last) macs += layer.values.length;
    const p = shares(logits), sure = Math.max(...p);
    if (last || bound <= 0 || (sure > bound && bound < 1))
      return { logits, p, sure, exit, macs, seen, layer, digit: p.indexOf(sure) };
    exit++;
  }
}

// A picture as MNIST has it: the box of the ink 20 pixels, its centre of mass in the middle.
function picture(strokes) {
  const points = strokes.flat();
  const out = new Float32Array((side + 2 * net.pad) ** 2);
  if (!points.length) return out;
  const along = (i) => points.map((p) => p[i]);
  const ends = [0, 1].map((i) => [Math.min(...along(i)), Math.max(...along(i))]);
  const scale = (box - 2 * pen) / Math.max(...ends.map(([low, high]) => high - low), 0.02);
  let shift = ends.map(([low, high]) => middle - (scale * (low + high)) / 2), ink;
  for (let turn = 0; turn < 2; turn++) {
    ink = inked(strokes, scale, shift);
    const sum = [0, 0, 0];
    ink.forEach((v, k) => {
      sum[0] += v;
      sum[1] += v * (k % side);
      sum[2] += v * Math.floor(k / side);
    });
    if (!turn) shift = shift.map((v, i) => v + middle - sum[i + 1] / sum[0]);
  }
  ink.forEach((v, k) => {
    const row = Math.floor(k / side) + net.pad;
    out[row * (side + 2 * net.pad) + (k % side) + net.pad] = v;
  });
  return out;
}

function inked(strokes, scale, shift) {
  const ink = new Float32Array(side * side);
  for (const stroke of strokes)
    for (let n = 0; n < stroke.length; n++) {
      const placed = (p) => [0, 1].map((i) => p[i] * scale + shift[i]);
      const a = placed(stroke[Math.max(n - 1, 0)]), b = placed(stroke[n]);
      const [low, high] = [Math.min, Math.max].map((f, j) => [0, 1].map((i) => {
        const edge = f(a[i], b[i]) + (j ? 2 : -2);
        return Math.max(0, Math.min(side - 1, j ? Math.ceil(edge) : Math.floor(edge)));
      }));
      const d = [b[0] - a[0], b[1] - a[1]], length = d[0] ** 2 + d[1] ** 2;
      for (let y = low[1]; y <= high[1]; y++)
        for (let x = low[0]; x <= high[0]; x++) {
          const t = length ? ((x - a[0]) * d[0] + (y - a[1]) * d[1]) / length : 0;
          const u = Math.max(0, Math.min(1, t)); // the nearest place on the line
          const far = Math.hypot(x - a[0] - u * d[0], y - a[1] - u * d[1]);
          const dark = Math.min(1, Math.max(0, pen + 0.5 - far));
          ink[y * side + x] = Math.max(ink[y * side + x], dark);
        }
    }
  return ink;
}
