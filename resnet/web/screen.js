// Pictures to choose from, and what the page says of the one that is chosen.
const percent = (p) => `${p > 0.999 && p < 1 ? ">99.9" : (100 * p).toFixed(1)} %`;
const many = (n) => Math.round(n).toLocaleString("en");
const million = (n) => (n < 1e6 ? many(n) : `${(n / 1e6).toFixed(1)} million`);
const named = (k) => net.classes[k];
const bounds = [...net.thresholds];
let chosen = null, wanted = 0; // {values, label}; a newer wish makes older ones void
let picking = 0; // a picture of one's own is void once another was picked while it was read
let reading = 0; // of all pictures: void once a threshold is moved

function element(name, attributes, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

function paint(canvas, values) {
  canvas.width = wide;
  canvas.height = tall;
  const plane = tall * wide, image = new ImageData(wide, tall);
  for (let k = 0; k < plane; k++) {
    for (let c = 0; c < 3; c++)
      image.data[4 * k + c] = values[k + plane * Math.min(c, channels - 1)];
    image.data[4 * k + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const items = net.macs.map((macs, k) => {
  const early = k < exits - 1, bar = element("i", {}), text = element("p", {});
  const item = element("li", { className: "idle" },
    element("h2", {}, `exit ${k + 1}`, element("span", {}, `${million(macs)} multiply-adds`)),
    text, element("div", { className: "bar", ariaHidden: "true" }, bar));
  if (early) {
    const bound = element("span", {}), id = `bound${k}`;
    const slider = element("input",
      { id, type: "range", min: 0, max: 1, step: 0.01, value: bounds[k] });
    const tell = () => { bound.textContent = `${Math.round(100 * slider.value)} %`; };
    slider.addEventListener("input", () => { bounds[k] = Number(slider.value); tell(); forget(); ask(); });
    item.append(element("label", { htmlFor: id }, "leave when more than ", bound, " sure"), slider);
    tell();
  }
  at("exits").append(item);
  return { item, text, bar };
});

function told(said) {
  const end = said.length - 1, { digit, score, time } = said[end], { label } = chosen;
  const right = digit === label;
  at("answer").textContent =
    `${named(digit)}, ${percent(score)} sure, left at exit ${end + 1} of ${exits}`;
  at("truth").textContent = label === undefined ? "Nobody has said what this is."
    : `${right ? "Right" : "Wrong"}: it is \u201c${named(label)}\u201d.`;
  at("cost").textContent = `${many(net.macs[end])} multiply-adds of ${many(net.macs[exits - 1])}, ` +
    `${time.toFixed(1)} ms on this device`;
  items.forEach(({ item, text, bar }, k) => {
    const found = said[k], here = k === end;
    item.className = here ? "here" : found ? "" : "idle";
    bar.style.width = found ? `${100 * found.score}%` : 0;
    text.textContent = !found ? "not asked"
      : `${named(found.digit)}, ${percent(found.score)} sure: ${here ? "answers" : "goes on"}`;
  });
}

function ask() {
  if (!chosen || !parts.length) return;
  const wish = ++wanted, { values } = chosen;
  next(async () => {
    if (wish !== wanted) return;
    const said = await answer(values, bounds);
    if (wish === wanted) told(said);
  }).catch(failed);
}

function choose(values, label, words) {
  picking++;
  chosen = { values, label };
  paint(at("shown"), values);
  at("shown").setAttribute("aria-label", words);
  ask();
}

const choices = net.labels.map((label, k) => {
  const words = `picture ${k + 1}: ${named(label)}`, canvas = element("canvas", { ariaHidden: "true" });
  const radio = element("input",
    { type: "radio", name: "picture", value: k, className: "unseen", ariaLabel: words });
  radio.addEventListener("change", () => choose(picture(k), label, words));
  const box = element("label", {}, radio, canvas, element("span", {}));
  paint(canvas, picture(k));
  at("pictures").append(box);
  return { box, radio };
});

// What was read of all pictures under other thresholds.
function forget() {
  reading++;
  at("every").textContent = "";
  for (const { box } of choices) box.className = box.lastChild.textContent = "";
}

// All pictures under the same thresholds: where each leaves, and how many answers are right.
async function everyone() {
  const found = [], wish = ++reading;
  for (let k = 0; k < net.labels.length; k++) {
    const said = await next(() => answer(picture(k), bounds)), { digit, time } = said[said.length - 1];
    if (wish !== reading) return;
    const right = digit === net.labels[k];
    found.push({ exit: said.length, right, time });
    choices[k].box.className = right ? "" : "wrong";
    choices[k].box.lastChild.textContent = `${right ? "\u2713" : "\u2717"} exit ${said.length}`;
  }
  const mean = (values) => values.reduce((a, b) => a + b) / values.length;
  const counts = net.macs.map((_, k) => found.filter((f) => f.exit === k + 1).length);
  at("every").textContent =
    `${found.filter((f) => f.right).length} of ${found.length} answers are right. ` +
    `${counts.map((n, k) => `${n} left at exit ${k + 1}`).join(", ")}: ` +
    `${million(mean(found.map((f) => net.macs[f.exit - 1])))} multiply-adds and ` +
    `${mean(found.map((f) => f.time)).toFixed(1)} ms a picture, where all exits take ` +
    `${million(net.macs[exits - 1])}.`;
}

// A picture of one's own: its middle, as large as the net takes it, on white paper.
async function own(file) {
  const image = await createImageBitmap(file), side = Math.min(image.width, image.height);
  const canvas = element("canvas", { width: wide, height: tall }), c = canvas.getContext("2d");
  const left = (image.width - side) / 2, top = (image.height - side) / 2;
  c.imageSmoothingQuality = "high";
  c.fillStyle = "white";
  c.fillRect(0, 0, wide, tall);
  c.drawImage(image, left, top, side, side, 0, 0, wide, tall);
  const { data } = c.getImageData(0, 0, wide, tall), plane = tall * wide;
  const value = (k, c) => data[4 * k + c];
  const light = (k) => 0.299 * value(k, 0) + 0.587 * value(k, 1) + 0.114 * value(k, 2);
  return Uint8Array.from({ length: size }, (_, k) => channels === 1 ? Math.round(light(k))
    : value(k % plane, Math.floor(k / plane)));
}

function failed(error) {
  at("answer").textContent = `This page does not work here (${error.message}). The files ort.js, ` +
    "runtime.js and net.js belong beside it: python -m resnet page writes them all.";
}

at("all").addEventListener("click", () => {
  at("all").disabled = true;
  everyone().catch(failed).finally(() => { at("all").disabled = false; });
});
at("own").addEventListener("change", async () => {
  const [file] = at("own").files;
  if (!file) return;
  at("own").value = ""; // (or the same file again would be no change)
  for (const { radio } of choices) radio.checked = false;
  const pick = ++picking;
  try {
    const values = await own(file);
    if (pick === picking) choose(values, undefined, "a picture of your own");
  } catch {
    if (pick === picking) at("answer").textContent = `${file.name} is no picture that this browser reads: choose another.`;
  }
});
at("all").disabled = true;
load().then(() => {
  at("all").disabled = false;
  if (chosen) return ask();
  choices[0].radio.checked = true;
  choices[0].radio.dispatchEvent(new Event("change"));
}).catch(failed);
