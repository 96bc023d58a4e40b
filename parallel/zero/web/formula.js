"use strict";
// What a rank holds and sends. The terms come from Python (page.py): bytes of a number of each
// kind, which kinds a strategy cuts into slices, and how many half rings a step sends.
const terms = JSON.parse(document.getElementById("terms").textContent);

const eachOf = (s) => terms.each[s.precision][s.optimizer];
function held(strategy, s) {
  const slice = Math.ceil(s.params / s.ranks), each = eachOf(s);
  const kinds = each.map((bytes, k) => bytes * (strategy.sliced[k] ? slice : s.params));
  return [...kinds, each[0] * s.activations];
}
const sum = (values) => values.reduce((a, b) => a + b);
const total = (strategy, s) => sum(held(strategy, s));
const sent = (strategy, s) =>
  strategy.halves * ((s.ranks - 1) / s.ranks) * (eachOf(s)[0] * s.params);

// Bytes as the command says them: a digit behind the point, and a tie to the even one.
const units = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];
function said(bytes) {
  const [least, unit] = units.find(([n]) => bytes >= n) || [1, "B"];
  const value = bytes / least, tie = value % 1 === 0.25;
  return `${(tie ? value - 0.05 : value).toFixed(least > 1 ? 1 : 0)} ${unit}`;
}
const many = (n) => n.toLocaleString("en");
