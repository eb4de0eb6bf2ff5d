"use strict";
// The report page at work: charts drawn and themed, tables sorted and filtered, state kept over a reload.
// `report` is what search/report/html_page.py wrote: {charts, curves, reload}. The table of trials is
// the one source of what the charts of all trials show.

const report = JSON.parse(document.getElementById("report-data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const trialTable = document.querySelector("#trials table");
const find = (id) => document.getElementById(id);
const state = Object.assign({ filter: "", sort: null, metric: null, trial: null, top: 0 }, history.state);

// ---- colours -------------------------------------------------------------------------------------

const ON_DARK = {
  "#2f6db3": "#6ca6ea", "#d9661f": "#f08b4b", "#2a8c5a": "#4fbd85", "#8a4fb0": "#b98be0",
  "#b58900": "#d9b13b", "#c2387a": "#ec6fa8", "#1b1b1b": "#f2f2f2", "#9a9a9a": "#8b929a",
};
const PALETTE = Object.keys(ON_DARK);
const [BLUE, ORANGE, GREEN, PURPLE, YELLOW, PINK, INK, GREY] = PALETTE;

const of = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function themed(figure) {
  let text = JSON.stringify(figure);
  if (dark.matches) for (const colour of PALETTE) text = text.replaceAll(colour, ON_DARK[colour]);
  const { data, layout } = JSON.parse(text);
  const axis = {
    gridcolor: of("--grid"), linecolor: of("--line"), zeroline: false, automargin: true, ticks: "outside",
    tickcolor: of("--line"), title: { standoff: 8 },
  };
  const template = { layout: {
    paper_bgcolor: of("--back"), plot_bgcolor: of("--back"),
    font: { color: of("--text"), size: 12, family: getComputedStyle(document.body).fontFamily },
    xaxis: axis, yaxis: axis, colorway: PALETTE.slice(0, 6).map((c) => (dark.matches ? ON_DARK[c] : c)),
    hoverlabel: { bgcolor: of("--panel"), bordercolor: of("--line"), font: { color: of("--text") }, align: "left" },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { l: 10, r: 12, t: 10, b: 10 },
    hovermode: "closest",
  } };
  return { data, layout: { height: 380, ...layout, template, autosize: true, dragmode: touch() ? false : layout.dragmode ?? "zoom" } };
}

const touch = () => matchMedia("(pointer: coarse)").matches;  // a drag there scrolls the page

async function draw(id) {
  const place = document.querySelector(`[data-chart="${CSS.escape(id)}"]`);
  if (!place) return;
  const figure = id in MADE_HERE ? MADE_HERE[id]() : report.charts[id];
  if (!figure) return;
  const { data, layout } = themed(figure);
  place.style.minHeight = `${layout.height}px`;
  await Plotly.react(place, data, layout, {
    responsive: true, displaylogo: false,
    modeBarButtons: [["toImage", id === "parallel" ? "select2d" : "zoom2d", "resetScale2d"]],
  });
}

// ---- the table of trials -------------------------------------------------------------------------

const columns = trialTable
  ? [...trialTable.tHead.rows[0].cells].map((cell) => ({ name: cell.dataset.name, axis: cell.dataset.axis, percent: "percent" in cell.dataset }))
  : [];
const trials = trialTable
  ? [...trialTable.tBodies[0].rows].map((row) => ({
    row, name: row.dataset.trial, end: row.dataset.end, cells: [...row.cells].map((cell) => cell.textContent.trim()),
  }))
  : [];
const column = (name) => columns.findIndex((one) => one.name === name);
const number = (text) => { const found = parseFloat(text); return /^[-+]?[\d.]/.test(text) ? found : NaN; };
const shown = () => trials.filter((trial) => !trial.row.hidden);

function holds(trial, term) {
  const parts = /^([^<>=]+)(<=|>=|<|>|=)(.*)$/.exec(term);
  const at = parts ? column(parts[1]) : -1;
  if (at < 0) return trial.cells.some((cell) => cell.toLowerCase().includes(term.toLowerCase()));
  const [, , sign, asked] = parts;
  const cell = trial.cells[at];
  if (sign === "=") {
    return asked.split("|").some((one) => cell.toLowerCase() === one.toLowerCase()
      || (one !== "" && Number(one) === number(cell)));
  }
  const value = number(cell), bound = Number(asked);
  return { "<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound }[sign];
}

function filter(text, drawn = true) {
  state.filter = text;
  const terms = text.split(/\s+/).filter(Boolean);
  for (const trial of trials) trial.row.hidden = !terms.every((term) => holds(trial, term));
  find("shown").textContent = `${shown().length} of ${trials.length} trials`;
  keep();
  if (drawn) drawOfTrials();
}

function order(table, at, descending) {
  const body = table.tBodies[0];
  const key = (row) => row.cells[at].textContent.trim();
  const empty = (text) => text === "" || text === "–";
  body.append(...[...body.rows].sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    if (empty(a) || empty(b)) return empty(a) - empty(b);  // what is not there comes last in either order
    const [m, n] = [number(a.replaceAll(",", "")), number(b.replaceAll(",", ""))];
    const less = isNaN(m) || isNaN(n) ? isNaN(m) - isNaN(n) || a.localeCompare(b) : m - n;
    return descending ? -less : less;
  }));
  [...table.tHead.rows[0].cells].forEach((cell, i) => cell.removeAttribute("aria-sort"));
  table.tHead.rows[0].cells[at].setAttribute("aria-sort", descending ? "descending" : "ascending");
}

function sortable(table) {
  for (const cell of table.tHead.rows[0].cells) {
    if (!cell.textContent.trim()) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const descending = cell.getAttribute("aria-sort") === "ascending";
      order(table, cell.cellIndex, descending);
      if (table === trialTable) { state.sort = [cell.cellIndex, descending]; keep(); }
    });
  }
}

// ---- charts of all trials ------------------------------------------------------------------------

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const ENDS = { done: BLUE, running: GREEN, pending: GREEN, failed: PINK, interrupted: GREY };
const RULES = [ORANGE, PURPLE, YELLOW, PINK, GREY];

function curves() {
  const metric = state.metric ?? report.metrics[0].name;
  const { label, percent } = report.metrics.find((one) => one.name === metric);
  const groups = new Map();
  const rules = [...new Set(trials.map((trial) => trial.end))].filter((end) => !(end in ENDS)).sort();
  for (const trial of shown()) {
    const known = report.curves[trial.name];
    if (!known) continue;
    const group = groups.get(trial.end) ?? { x: [], y: [], customdata: [], size: [] };
    groups.set(trial.end, group);
    const last = known.epoch.length - 1;
    const said = `trial ${escaped(trial.name)}, rank ${trial.cells[column("rank")]}, ${escaped(trial.end)}`;
    known.epoch.forEach((epoch, i) => {
      group.x.push(epoch);
      group.y.push(known[metric][i]);
      group.customdata.push(said);
      group.size.push(last === 0 || (i === last && rules.includes(trial.end)) ? 8 : 0);
    });
    for (const list of [group.x, group.y, group.customdata, group.size]) list.push(null);
  }
  const hovertemplate = `%{customdata}<br>epoch %{x}: %{y:.4~g}${percent ? " %" : ""}<extra></extra>`;
  const data = [...groups].map(([end, group]) => ({
    type: "scatter", mode: "lines+markers", name: rules.includes(end) ? `stopped by ${escaped(end)}` : escaped(end),
    x: group.x, y: group.y, customdata: group.customdata, hovertemplate, connectgaps: false,
    line: { width: 1, color: ENDS[end] ?? RULES[rules.indexOf(end) % RULES.length] },
    marker: { size: group.size.map((size) => size ?? 0), symbol: rules.includes(end) ? "x" : "circle" },
    opacity: trials.length > 60 ? 0.5 : 0.85,
  }));
  const wanted = new Set([state.trial ?? shown()[0]?.name]);
  for (const name of wanted) {
    const known = report.curves[name];
    if (!known) continue;
    const rank = trials.find((trial) => trial.name === name).cells[column("rank")];
    data.push({
      type: "scatter", mode: "lines+markers", name: `trial ${escaped(name)}, rank ${rank}`, x: known.epoch, y: known[metric],
      hovertemplate: `trial ${escaped(name)}<br>epoch %{x}: %{y:.4~g}${percent ? " %" : ""}<extra></extra>`,
      line: { width: 3, color: INK }, marker: { size: 5 },
    });
  }
  const most = Math.max(0, ...data.flatMap((trace) => trace.x.filter((epoch) => epoch !== null)));
  const layout = { height: 460, xaxis: { title: { text: "epoch, from 0" }, dtick: most < 6 ? 1 : undefined }, yaxis: { title: { text: label } } };
  return { data, layout };
}

function scaleOf(at) {
  const { name, axis } = columns[at];
  const values = trials.map((trial) => trial.cells[at]);
  const numbers = values.map(number).filter((value) => !isNaN(value));
  if (axis === "choice" || !numbers.length) {
    const words = [...new Set(values)].sort((a, b) => number(a) - number(b) || a.localeCompare(b));
    const place = (text) => (words.length > 1 ? words.indexOf(text) / (words.length - 1) : 0.5);
    return { name, place, ticks: words.map((word) => [place(word), word]), choice: words };
  }
  const on = axis === "log" ? Math.log10 : (value) => value;
  const back = axis === "log" ? (value) => 10 ** value : (value) => value;
  const [low, high] = [on(Math.min(...numbers)), on(Math.max(...numbers))];
  const span = high - low || 1;
  const place = (text) => (isNaN(number(text)) ? null : (on(number(text)) - low) / span);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => [part, Number(back(low + part * span).toPrecision(3)).toString()]);
  return { name, place, ticks: high > low ? ticks : ticks.slice(0, 1), value: (part) => back(low + part * span) };
}

let scales = [];

function parallel() {
  scales = columns.map((one, at) => (one.axis ? { at, ...scaleOf(at) } : null)).filter(Boolean);
  if (scales.length < 2) return null;
  const result = scales.at(-1);
  const shades = ["#9a9a9a", "#2f6db3", "#2a8c5a", "#b58900", "#d9661f"];
  const best = trials[0]?.name;
  const groups = shades.map(() => ({ x: [], y: [], customdata: [] }));
  const ranked = shown().filter((trial) => result.place(trial.cells[result.at]) !== null);
  ranked.forEach((trial, position) => {
    const group = groups[shades.length - 1 - Math.min(shades.length - 1, Math.floor((shades.length * position) / ranked.length))];
    for (const [i, scale] of scales.entries()) {
      group.x.push(i);
      group.y.push(scale.place(trial.cells[scale.at]));
      group.customdata.push(`trial ${escaped(trial.name)}, rank ${trial.cells[column("rank")]}<br>${escaped(scale.name)} ${escaped(trial.cells[scale.at])}`);
    }
    group.x.push(null); group.y.push(null); group.customdata.push(null);
  });
  const names = ["last fifth", "fourth", "third", "second", "best fifth of those shown"];
  const data = groups.map((group, i) => ({
    type: "scatter", mode: "lines+markers", ...group, name: names[i], connectgaps: false, hovertemplate: "%{customdata}<extra></extra>",
    line: { color: shades[i], width: i === shades.length - 1 ? 2 : 1 }, marker: { size: 5, color: shades[i] },
    opacity: ranked.length > 100 ? 0.5 : 0.85,
  })).filter((trace) => trace.x.length).reverse();
  data.sort((one, other) => names.indexOf(one.name) - names.indexOf(other.name));
  const annotations = scales.flatMap((scale, i) => scale.ticks.map(([y, text]) => ({
    x: i, y, text: escaped(text.length > 14 ? `${text.slice(0, 13)}…` : text), showarrow: false, xanchor: "left", xshift: 5, font: { size: 11 }, bgcolor: of("--back"), opacity: 0.85, borderpad: 0,
  })));
  const shapes = scales.map((_, i) => ({ type: "line", x0: i, x1: i, y0: 0, y1: 1, line: { width: 1, color: GREY }, layer: "below" }));
  const place = document.querySelector('[data-chart="parallel"]');
  const width = Math.max(place.clientWidth, 92 * scales.length);
  const layout = {
    height: 460, annotations, shapes, dragmode: "select", legend: { traceorder: "reversed" }, width: width > place.clientWidth ? width : undefined,
    xaxis: { tickvals: scales.map((_, i) => i), ticktext: scales.map((scale) => escaped(scale.name)), showgrid: false, range: [-0.15, scales.length - 0.35], side: "top", ticks: "" },
    yaxis: { visible: false, range: [-0.06, 1.06] }, showlegend: true, margin: { t: 60 },
  };
  layout.legend = { x: 0, y: -0.02, yanchor: "top", orientation: "h", traceorder: "reversed" };
  return { data, layout };
}

function brushed(event) {
  if (!event?.range) return;
  const [x0, x1] = event.range.x, [y0, y1] = event.range.y.toSorted((a, b) => a - b);
  const terms = [];
  scales.forEach((scale, i) => {
    if (i < Math.min(x0, x1) || i > Math.max(x0, x1)) return;
    if (scale.choice) {
      const words = scale.choice.filter((word) => scale.place(word) >= y0 && scale.place(word) <= y1);
      if (words.length && words.length < scale.choice.length) terms.push(`${scale.name}=${words.join("|")}`);
      return;
    }
    if (y0 > 0) terms.push(`${scale.name}>=${Number(scale.value(y0).toPrecision(3))}`);
    if (y1 < 1) terms.push(`${scale.name}<=${Number(scale.value(y1).toPrecision(3))}`);
  });
  if (!terms.length) return;
  find("filter").value = [find("filter").value.trim(), ...terms].filter(Boolean).join(" ");
  filter(find("filter").value);
}

const MADE_HERE = { curves, parallel };

async function drawOfTrials() {
  if (!window.Plotly) return;
  await draw("curves");
  await draw("parallel");
}

function choose(name) {
  state.trial = name;
  for (const trial of trials) trial.row.classList.toggle("chosen", trial.name === name);
  keep();
  if (window.Plotly) draw("curves");
}

// ---- what a reload keeps -------------------------------------------------------------------------

function keep() {
  state.top = scrollY;
  history.replaceState(state, "");
}

function restore() {
  for (const table of document.querySelectorAll(".scroll table")) sortable(table);
  if (!trialTable) return;
  const box = find("filter"), metric = find("metric");
  box.value = state.filter;
  filter(state.filter, false);
  if (state.sort && state.sort[0] < columns.length) order(trialTable, ...state.sort);
  if (report.metrics.every((one) => one.name !== state.metric)) state.metric = null;
  if (!(state.trial in report.curves)) state.trial = null;
  if (metric && state.metric) metric.value = state.metric;
  choose(state.trial);
  let waiting;
  box.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => filter(box.value), 150); });
  find("all").addEventListener("click", () => { box.value = ""; filter(""); });
  metric?.addEventListener("change", () => { state.metric = metric.value; keep(); draw("curves"); });
  for (const trial of trials) {
    trial.row.querySelector("a[data-curve]")?.addEventListener("click", () => choose(trial.name));
  }
}

function reloading() {
  if (!report.reload) return;
  const busy = () => document.hidden || !find("reload").checked || document.activeElement === find("filter");
  setInterval(() => { if (!busy()) { keep(); location.reload(); } }, 1000 * report.reload);
}

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(find(id).textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function main() {
  restore();
  reloading();
  if (!window.DecompressionStream) {
    find("trouble").textContent = "The charts need a browser of 2023 or later.";
    return;
  }
  const script = document.createElement("script");
  script.textContent = await unpacked("plotly");
  document.head.append(script);
  for (const place of document.querySelectorAll("[data-chart]")) {
    await draw(place.dataset.chart);
    if (place.dataset.chart === "parallel") place.on?.("plotly_selected", brushed);
  }
  if (history.state) scrollTo({ top: state.top, behavior: "instant" });
  addEventListener("pagehide", keep);
  dark.addEventListener("change", async () => {
    for (const place of document.querySelectorAll("[data-chart]")) await draw(place.dataset.chart);
  });
  document.documentElement.dataset.ready = "yes";
}

main();
