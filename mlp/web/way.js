// The connections that carried an answer: from the digit back, those that added most.
const FEW = 14, EACH = 4; // units of a layer, connections into each

function strongest(layer, o, x, count) {
  const found = [];
  for (let k = layer.starts[o]; k < layer.starts[o + 1]; k++) {
    const from = input(layer, o, k), added = layer.values[k] * x[from];
    if (added > 0) found.push([from, added]);
  }
  return found.sort((a, b) => b[1] - a[1]).slice(0, count);
}

// Lines from a unit of one layer to one of the next, with how much they added, layer by layer.
function lines(found) {
  const all = [];
  let units = new Map([[found.digit, 1]]);
  for (let level = found.seen.length - 1; level >= 0; level--) {
    const last = level === found.seen.length - 1, layer = last ? found.layer : stages[level];
    const before = new Map(), here = [];
    for (const [o, worth] of units) {
      const into = strongest(layer, o, found.seen[level], last ? FEW : EACH);
      const sum = into.reduce((a, [, v]) => a + v, 0) || 1;
      for (const [from, v] of into) {
        here.push({ level, from, to: o, last, worth: (worth * v) / sum });
        before.set(from, (before.get(from) || 0) + (worth * v) / sum);
      }
    }
    const most = Math.max(...here.map((l) => l.worth), 0);
    all.push(...here.map((l) => ({ ...l, strong: l.worth / most })));
    units = new Map([...before].sort((a, b) => b[1] - a[1]).slice(0, FEW));
  }
  return all;
}

// Where units stand: layers beside each other, or one below the other where the page is narrow.
function plan(width, inputs) {
  const levels = stages.length, tall = width < 560, top = tall ? 12 : 26;
  const size = tall ? Math.min(width * 0.45, 180) : Math.min((width - 40) / (1.35 * levels), 220);
  const gap = tall ? 32 : (width - 40 - size * levels) / levels;
  const corner = (level) => tall
    ? [(width - size) / 2, top + level * (size + gap)]
    : [8 + level * (size + gap), top];
  const units = (level) => Math.ceil(Math.sqrt(level ? stages[level].inputs : inputs));
  const spot = (level, k) => {
    const [x, y] = corner(level);
    if (level === levels && tall) return [8 + ((width - 16) * (k + 0.5)) / 10, y];
    if (level === levels) return [x + 10, y + (size * (k + 0.5)) / 10];
    const n = units(level), step = size / n;
    return [x + ((k % n) + 0.5) * step, y + (Math.floor(k / n) + 0.5) * step];
  };
  const label = (level) => (tall ? [8, corner(level)[1] + 12] : [corner(level)[0], top - 9]);
  const height = tall ? corner(levels)[1] + 26 : top + size + 12;
  return { levels, tall, size, corner, units, spot, label, height };
}

function carried(found, x, some) {
  const laid = plan(way.clientWidth, x.length);
  const { levels, tall, size, corner, units, spot, label, height } = laid;
  way.style.height = `${height}px`;
  const c = fresh(way, height);
  c.font = "12px system-ui, sans-serif";
  for (let level = 0; level < levels; level++) {
    const skipped = some && level >= found.seen.length;
    c.setLineDash(skipped ? [4, 4] : []);
    c.strokeStyle = colour("line");
    c.strokeRect(...corner(level).map((v) => v - 0.5), size + 1, size + 1);
    c.fillStyle = colour("soft");
    c.fillText(level ? (skipped ? "not asked" : `layer ${level}`) : "drawing", ...label(level));
    const values = skipped || !some ? [] : found.seen[level], most = Math.max(...values, 1e-9);
    const dot = (size / units(level)) * (level ? 0.6 : 1);
    c.fillStyle = colour("ink");
    values.forEach((v, k) => {
      if (v <= 0) return;
      const [px, py] = spot(level, k);
      c.globalAlpha = (level ? 0.5 : 1) * (v / most);
      c.fillRect(px - dot / 2, py - dot / 2, dot, dot);
    });
    c.globalAlpha = 1;
  }
  c.setLineDash([]);
  const chosen = some ? lines(found) : [];
  c.strokeStyle = colour("mark");
  for (const l of chosen.sort((a, b) => a.strong - b.strong)) {
    c.globalAlpha = 0.15 + 0.75 * l.strong;
    c.lineWidth = 0.6 + 1.8 * l.strong;
    c.beginPath();
    c.moveTo(...spot(l.level, l.from));
    c.lineTo(...spot(l.last ? levels : l.level + 1, l.to));
    c.stroke();
  }
  c.globalAlpha = 1;
  c.textAlign = "center";
  c.textBaseline = "middle";
  for (let d = 0; d < 10; d++) {
    const mine = some && d === found.digit, [px, py] = spot(levels, d);
    c.font = `${mine ? "bold " : ""}${tall ? 15 : Math.min(15, size / 11)}px system-ui, sans-serif`;
    c.fillStyle = colour(mine ? "mark" : "soft");
    c.fillText(d, tall ? px : px + 8, tall ? py + 12 : py);
  }
  way.setAttribute("aria-label", some
    ? `The ${chosen.length} connections that added most to the answer ${found.digit}: ` +
      `from the drawing through ${found.seen.length - 1} of ${levels - 1} hidden layers.`
    : nothing);
}
