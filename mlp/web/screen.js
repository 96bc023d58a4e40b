// What is drawn, and what the page says of it.
const pad = at("pad"), way = at("way");
let strokes = [], hand = [0.5, 0.5], down = false, keyed = false, seen = null;
let finger = null; // (or mouse, or pen) that draws: a second one, or a palm, does not
const digits = Array.from({ length: 10 }, (_, d) => {
  const row = document.createElement("li");
  row.innerHTML = `<i aria-hidden="true"></i><b>${d}</b><span></span>`;
  return at("bars").appendChild(row);
});
const nothing = "Nothing is drawn yet.";
const percent = (p) => `${p > 0.99 && p < 1 ? ">99" : Math.round(100 * p)} %`;
const many = (n) => Math.round(n).toLocaleString("en");
const root = document.documentElement;
const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

// A canvas in the pixels of the screen; returns its context, in CSS pixels.
function fresh(canvas, height) {
  const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.clearRect(0, 0, width, height);
  return context;
}

function drawn() {
  const size = pad.clientWidth, c = fresh(pad, size);
  c.strokeStyle = c.fillStyle = colour("ink");
  c.lineWidth = size / 14;
  c.lineCap = c.lineJoin = "round";
  for (const stroke of strokes) {
    c.beginPath();
    c.moveTo(...stroke[0].map((v) => v * size));
    for (const point of stroke) c.lineTo(...point.map((v) => v * size));
    c.stroke();
  }
  if (!keyed) return;
  c.strokeStyle = colour("mark");
  c.lineWidth = down ? 4 : 2;
  c.beginPath();
  c.arc(hand[0] * size, hand[1] * size, size / 24, 0, 7);
  c.stroke();
}

function told() {
  drawn();
  const x = picture(strokes), bound = Number(at("sure").value), some = strokes.length > 0;
  at("bound").textContent = percent(bound);
  const begin = performance.now();
  let calls = 0, now = begin, found;
  do { // (a browser's clock is coarse: again and again, for a millisecond)
    found = answer(x, bound);
    calls++;
    now = performance.now();
  } while (some && now - begin < 1);
  seen = some ? found : null;
  const time = (1000 * (now - begin)) / calls, exit = `exit ${found.exit + 1} of ${net.exits}`;
  at("digit").textContent = some ? found.digit : "\u00b7";
  at("told").textContent = some ? `${percent(found.sure)} sure, left at ${exit}` : nothing;
  at("cost").textContent = some
    ? `${many(found.macs)} multiply-adds of ${many(net.macs)} ` +
      `(with dense layers ${many(net.dense)}), ${many(time)} \u00b5s on this device`
    : "";
  digits.forEach((row, d) => {
    row.className = some && d === found.digit ? "top" : "";
    row.firstChild.style.setProperty("--p", some ? found.p[d] : 0);
    row.lastChild.textContent = some ? `${Math.round(100 * found.p[d])}%` : "\u00a0";
  });
  carried(found, x, some);
  return found;
}

function said() { // once a stroke is done, for those who listen
  const told = at("told").textContent;
  at("live").textContent = seen ? `${seen.digit}, ${told}` : "The drawing is empty.";
}

function begin(point) { strokes.push([point]); down = true; told(); }
function move(point) {
  const stroke = strokes[strokes.length - 1], [x, y] = stroke[stroke.length - 1];
  if (Math.hypot(point[0] - x, point[1] - y) < 0.008) return;
  stroke.push(point);
  told();
}
function end() { if (down) { down = false; drawn(); said(); } }
function undo() { down = false; strokes.pop(); told(); said(); }
function clear() { down = false; strokes = []; told(); said(); }

const inside = (v) => Math.max(0.02, Math.min(0.98, v));
const where = (e) => {
  const r = pad.getBoundingClientRect();
  return [inside((e.clientX - r.left) / r.width), inside((e.clientY - r.top) / r.height)];
};
pad.addEventListener("pointerdown", (e) => {
  if (e.button || (finger !== null && e.pointerId !== finger)) return;
  keyed = false;
  finger = e.pointerId;
  pad.setPointerCapture(e.pointerId);
  begin(where(e));
});
pad.addEventListener("pointermove", (e) => {
  if (down && !keyed && e.pointerId === finger) move(where(e));
});
for (const name of ["pointerup", "pointercancel"])
  pad.addEventListener(name, (e) => {
    if (e.pointerId !== finger) return;
    finger = null;
    end();
  });
const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
pad.addEventListener("keydown", (e) => {
  const by = ways[e.key];
  if (!by && ![" ", "Backspace", "Escape"].includes(e.key)) return;
  e.preventDefault();
  keyed = true;
  if (by) {
    hand = hand.map((v, i) => inside(v + by[i] * 0.03));
    return down ? move(hand) : drawn();
  }
  if (e.key === " ") return down ? end() : begin(hand);
  return e.key === "Escape" ? clear() : undo();
});
pad.addEventListener("blur", () => { end(); keyed = false; drawn(); });
at("undo").addEventListener("click", undo);
at("clear").addEventListener("click", clear);
at("sure").value = net.threshold;
at("sure").addEventListener("input", told);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", told);
new ResizeObserver(told).observe(document.querySelector("main"));
told();
