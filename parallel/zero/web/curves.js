// A picture over ranks: a curve for each strategy, the ranks that are chosen, what was measured.
const dashes = ["", "7 4", "2 4", "10 3 2 3"];
const svg = (name, attributes, text) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
};
const log2 = Math.log2, log10 = Math.log10;

// Points are bytes a weight: of as many weights as are chosen. They are of Adam in float32, and
// of what is held after a step: no activations.
function measuredAt(s) {
  if (s.precision !== "float32" || s.optimizer !== "adam" || s.activations > 0) return [];
  return terms.points.map((p) => ({ ...p, bytes: p.measured * s.params }));
}

// From one rank to the most, from which bytes to which, and where that is on the screen.
function scale(s, width, most, spots) {
  const all = [1, most].flatMap((ranks) =>
    terms.strategies.map((one) => total(one, { ...s, ranks })));
  all.push(...spots.map((p) => p.bytes));
  const bottom = log10(Math.min(...all)) - 0.15, top = log10(Math.max(...all)) + 0.15;
  const box = { left: 62, right: width - 78, top: 14, bottom: 290 };
  return {
    ...box, most, ends: [bottom, top],
    x: (ranks) => box.left + ((box.right - box.left) * log2(ranks)) / log2(most),
    y: (bytes) => box.bottom - ((box.bottom - box.top) * (log10(bytes) - bottom)) / (top - bottom),
  };
}

// Powers of ten, and what lies between where they are few.
function decades(bottom, top) {
  const between = top - bottom < 2.5 ? [1, 2, 5] : [1], found = [];
  for (let power = Math.floor(bottom); power <= top; power++)
    found.push(...between.map((digit) => digit * 10 ** power));
  return found.filter((bytes) => log10(bytes) >= bottom && log10(bytes) <= top);
}

function axes(at, into) {
  for (const bytes of decades(...at.ends)) {
    const y = at.y(bytes), text = said(bytes).replace(".0", "");
    into.append(svg("line", { class: "grid", x1: at.left, x2: at.right, y1: y, y2: y }));
    into.append(svg("text", { x: at.left - 6, y: y + 4, "text-anchor": "end" }, text));
  }
  const room = (at.right - at.left) / log2(at.most), step = Math.max(1, Math.ceil(34 / room));
  for (let power = 0; 2 ** power <= at.most; power += step) {
    const x = at.x(2 ** power);
    into.append(svg("line", { class: "grid", x1: x, x2: x, y1: at.top, y2: at.bottom }));
    into.append(svg("text", { x, y: at.bottom + 16, "text-anchor": "middle" }, many(2 ** power)));
  }
  const middle = (at.left + at.right) / 2;
  into.append(svg("text", { x: middle, y: at.bottom + 34, "text-anchor": "middle" }, "ranks"));
}

// Where the names of the curves stand: at their ends, but never one on another.
function apart(wanted, from, to, room) {
  const order = wanted.map((y, k) => [y, k]).sort((a, b) => a[0] - b[0]), found = [];
  let last = -Infinity;
  for (const [y, k] of order) found[k] = last = Math.max(y, last + room, from);
  last = to + room;
  for (const [, k] of order.reverse()) found[k] = last = Math.min(found[k], last - room);
  return found;
}

function drawCurves(s, into, most, spots) {
  const width = into.clientWidth, at = scale(s, width, most, spots);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${at.bottom + 44}`, "aria-hidden": "true" });
  axes(at, picture);
  curves(s, at, picture);
  points(s, at, picture, spots);
  if (s.ranks <= most) chosenRanks(s, at, picture);
  into.replaceChildren(picture);
}

function curves(s, at, into) {
  const ends = terms.strategies.map((one) => at.y(total(one, { ...s, ranks: at.most })));
  const names = apart(ends, at.top + 8, at.bottom, 14), count = 8 * Math.ceil(log2(at.most));
  terms.strategies.forEach((one, k) => {
    const group = svg("g", { class: one.name === s.strategy ? "chosen" : "" });
    const line = Array.from({ length: count + 1 }, (_, i) => 2 ** ((log2(at.most) * i) / count))
      .map((ranks) => `${at.x(ranks).toFixed(1)} ${at.y(total(one, { ...s, ranks })).toFixed(1)}`);
    group.append(svg("path", { d: `M${line.join("L")}`, "stroke-dasharray": dashes[k] }));
    group.append(svg("text", { x: at.right + 6, y: names[k] + 4 }, one.name));
    into.append(group);
  });
}

function chosenRanks(s, at, into) {
  const x = at.x(s.ranks), y = at.y(total(terms.strategies.find((one) => one.name === s.strategy), s));
  into.append(svg("line", { class: "now", x1: x, x2: x, y1: at.top, y2: at.bottom }));
  into.append(svg("circle", { class: "here", cx: x, cy: y, r: 5 }));
}

// Circles are what was held, squares all address space; a little beside each other.
function points(s, at, into, spots) {
  const own = (p) => p.name === p.strategy; // (torch's first, where ours cover them)
  for (const p of [...spots].sort((a, b) => own(a) - own(b))) {
    const mine = p.strategy === s.strategy ? " mine" : "", ours = own(p);
    const k = terms.strategies.findIndex((one) => one.name === p.strategy);
    const x = at.x(p.ranks) + 6 * (k - 1.5), y = at.y(p.bytes);
    const look = { class: `point${ours ? " ours" : ""}${mine}` };
    into.append(p.kind === "held"
      ? svg("circle", { ...look, cx: x, cy: y, r: 4 })
      : svg("rect", { ...look, x: x - 3.5, y: y - 3.5, width: 7, height: 7 }));
  }
}
