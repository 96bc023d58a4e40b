// Sliders and choices, and what the page says of them.
const at = (id) => document.getElementById(id);
const sliders = ["params", "ranks", "activations"];
const choices = {
  strategy: terms.strategies.map((one) => one.name),
  precision: Object.keys(terms.each),
  optimizer: Object.keys(terms.each.mixed),
};
const kinds = [...terms.kinds, "activations"];
const near = 8; // ranks of the second picture: those of the measured points, and twice as many
const state = { ...terms.settings.start };

function element(name, attributes, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

function radios(name, into, dress) {
  for (const value of choices[name]) {
    const radio = element("input", { type: "radio", name, value });
    radio.addEventListener("change", () => { state[name] = value; told(); });
    into.append(element("label", {}, radio, ...dress(value)));
  }
}

function bars() {
  const most = Math.max(...terms.strategies.map((one) => total(one, state)));
  terms.strategies.forEach((one, k) => {
    const label = at("stages").children[k], parts = held(one, state);
    label.querySelector("b").textContent = said(sum(parts));
    [...label.querySelector(".bar").children].forEach((part, i) => {
      part.style.width = `${(100 * parts[i]) / most}%`;
    });
  });
}

function key(chosen) {
  const parts = held(chosen, state);
  at("key").replaceChildren(...kinds.map((kind, k) => element("li", {},
    element("i", { className: `kind${k}`, ariaHidden: "true" }), `${kind} `,
    element("span", {}, said(parts[k])))));
}

function note() {
  const some = measuredAt(state).length > 0;
  at("measured").hidden = !terms.settings.measured;
  at("note").textContent = !terms.points.length
    ? "No measured points: their record lies in benchmarks/ of a checkout."
    : some
      ? "Circles: what was held after a step. Squares: all address space of the largest net that " +
        "trained in 128 MiB; what lies above the curve there are copies, messages, activations. " +
        "This library's zero1 lies below its curve, as gradients are slices once a backward is " +
        "over. Filled: this library; hollow: torch's own class of that stage. Measured with Adam in " +
        "float32, in bytes a weight, drawn for the weights that are chosen; bright are those of " +
        "the chosen strategy."
      : "The measured points are of Adam in float32, of what is held after a step: choose both " +
        "and no activations, and they are on the curves.";
}

function told() {
  const chosen = terms.strategies.find((one) => one.name === state.strategy);
  for (const name of sliders) {
    const text = many(state[name]);
    at(name).value = terms.stops[name].indexOf(state[name]);
    at(name).setAttribute("aria-valuetext", text);
    at(`${name}-said`).textContent = text;
  }
  for (const name of Object.keys(choices))
    document.querySelector(`[name="${name}"][value="${state[name]}"]`).checked = true;
  const [holds, sends] = [total(chosen, state), sent(chosen, state)].map(said);
  const ranks = state.ranks > 1 ? `each of ${many(state.ranks)} ranks` : "a rank alone";
  const words = `${ranks} holds ${holds} and sends ${sends} in a step.`;
  at("answer").textContent = `${chosen.name}: ${words}`;
  bars();
  key(chosen);
  note();
  drawn();
}

function drawn() {
  const all = terms.strategies.map((one) => `${one.name} ${said(total(one, state))}`).join(", ");
  const most = terms.stops.ranks[terms.stops.ranks.length - 1], spots = measuredAt(state);
  drawCurves(state, at("curves"), most, []);
  drawCurves(state, at("close"), near, spots);
  at("curves").setAttribute("aria-label", "What a rank holds by each strategy, over 1 to " +
    `${many(most)} ranks. With ${many(state.ranks)}: ${all}.`);
  at("close").setAttribute("aria-label", `The same over 1 to ${near} ranks, with ` +
    (spots.length ? `${spots.length} measured points: the table below has them.` : "no point."));
}

function bytesTable() {
  const cell = (name, text, more) => element(name, { textContent: text, ...more });
  const head = ["precision, optimizer", ...terms.kinds].map((t) => cell("th", t, { scope: "col" }));
  const rows = Object.entries(terms.each).flatMap(([precision, of]) =>
    Object.entries(of).map(([optimizer, each]) => element("tr", {},
      cell("th", `${precision}, ${optimizer}`, { scope: "row" }),
      ...each.map((bytes) => cell("td", bytes)))));
  at("bytes").append(element("table", {}, element("tr", {}, ...head), ...rows));
}

for (const name of sliders) {
  at(name).max = terms.stops[name].length - 1;
  at(name).addEventListener("input", () => { state[name] = terms.stops[name][at(name).value]; told(); });
}
radios("strategy", at("stages"), (name) => [
  element("span", { textContent: name }), element("b", {}),
  element("span", { className: "bar", ariaHidden: "true" },
    ...kinds.map((_, k) => element("i", { className: `kind${k}` }))),
]);
for (const name of ["precision", "optimizer"]) radios(name, at(name), (value) => [value]);
for (const name of ["paper", "measured"])
  at(name).addEventListener("click", () => {
    Object.assign(state, terms.settings[name], { strategy: state.strategy });
    told();
  });
bytesTable();
new ResizeObserver(drawn).observe(at("curves"));
told();
