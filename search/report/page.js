"use strict";
// The report page at work: charts drawn and themed, tables sorted and filtered, state kept over a reload.
// `report` is what search/report/html_page.py wrote: {charts, curves, reload}. The table of trials is
// the one source of what the charts of all trials show.

const report = JSON.parse(document.getElementById("report-data").textContent);
const scheme = matchMedia("(prefers-color-scheme: dark)");
const PAPER = 940;  // pixels of a landscape page of A4 or Letter, less some
const onPaper = () => "printing" in document.documentElement.dataset;
const dark = () => scheme.matches && !onPaper();
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
  if (dark()) for (const colour of PALETTE) text = text.replaceAll(colour, ON_DARK[colour]);
  const { data, layout } = JSON.parse(text);
  const axis = {
    gridcolor: of("--grid"), linecolor: of("--line"), zeroline: false, automargin: true, ticks: "outside",
    tickcolor: of("--line"), title: { standoff: 8 },
  };
  const template = { layout: {
    paper_bgcolor: of("--back"), plot_bgcolor: of("--back"),
    font: { color: of("--text"), size: 12, family: getComputedStyle(document.body).fontFamily },
    xaxis: axis, yaxis: axis, colorway: PALETTE.slice(0, 6).map((c) => (dark() ? ON_DARK[c] : c)),
    hoverlabel: { bgcolor: of("--panel"), bordercolor: of("--line"), font: { color: of("--text") }, align: "left" },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { l: 10, r: 12, t: 30, b: 10 },
    hovermode: "closest",
  } };
  return { data, layout: { height: 380, ...layout, template, autosize: true, dragmode: touch() ? false : layout.dragmode ?? "zoom" } };
}

// The title of a vertical axis, in lines that its chart has the height for: plotly would cut it.
function titled(layout) {
  const title = layout.yaxis?.title;
  if (!title?.text) return;
  const most = Math.max(12, Math.floor((layout.height - 110) / 7));  // 110: legend and x axis; 7: a letter
  const lines = [];
  for (const word of title.text.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && longer.length <= most) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  title.text = lines.join("<br>");
}

const touch = () => matchMedia("(pointer: coarse)").matches;  // a drag there scrolls the page

async function draw(id) {
  const place = document.querySelector(`[data-chart="${CSS.escape(id)}"]`);
  if (!place) return;
  const figure = id in MADE_HERE ? MADE_HERE[id]() : report.charts[id];
  if (!figure) {
    Plotly.purge(place);
    return;
  }
  const { data, layout } = themed(figure);
  titled(layout);
  if (onPaper()) layout.width = place.closest(".half") ? (PAPER - 24) / 2 : PAPER;
  fade(data);
  place.style.minHeight = `${layout.height}px`;
  await Plotly.react(place, data, layout, {
    responsive: true, displaylogo: false, displayModeBar: innerWidth > 600,
    modeBarButtons: [["toImage", id === "parallel" ? "select2d" : "zoom2d", "resetScale2d"]],
  });
}

// With the keyboard, arrows show the tooltips of a chart's points, in the order of its traces; Escape hides them.
function stepping(place) {
  let at = -1;
  place.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") Plotly.Fx.unhover(place);
    if (!by || event.target !== place) return;
    const points = (place.data ?? []).flatMap(({ type, x, y, hoverinfo, visible }, curveNumber) =>
      (type !== "scatter" || hoverinfo === "skip" || visible === "legendonly" ? [] : [...(x ?? [])])
        .flatMap((_, pointNumber) => (y[pointNumber] == null ? [] : [{ curveNumber, pointNumber }])));
    if (!points.length) return;
    event.preventDefault();  // the arrows would scroll a chart that is wider than the screen
    at = (Math.max(at, by < 0 ? 0 : -1) + by + points.length) % points.length;
    Plotly.Fx.hover(place, [points[at]]);
  });
}

// A mean is of all trials whatever the filter: only the points of single trials fade.
const isOfTrials = (trace) => trace.meta === "trials";

function fade(traces) {
  if (shown().length === trials.length) return;
  const left = new Set(shown().map((trial) => trial.name));
  for (const trace of traces.filter(isOfTrials)) {
    trace.selectedpoints = trace.customdata.flatMap((name, at) => (left.has(name) ? [at] : []));
    trace.unselected = { marker: { opacity: 0.1 } };
  }
}

// ---- the table of trials -------------------------------------------------------------------------

const columns = trialTable
  ? [...trialTable.tHead.rows[0].cells].map((cell) => ({ name: cell.dataset.name, axis: cell.dataset.axis }))
  : [];
const trials = trialTable
  ? [...trialTable.tBodies[0].rows].map((row) => ({
    row, name: row.dataset.trial, end: row.dataset.end, cells: [...row.cells].map((cell) => cell.textContent.trim()),
  }))
  : [];
const column = (name) => columns.findIndex((one) => one.name === name);
const number = (text) => { const found = parseFloat(text); return /^[-+]?[\d.]/.test(text) ? found : NaN; };
const TIMES = { k: 1e3, M: 1e6, G: 1e9 };  // as tables write costs: 900 k is less than 2 M
const amount = (text) => {
  const plain = text.replaceAll(",", "");
  return number(plain) * (TIMES[/^[-+]?[\d.]+ ([kMG])\b/.exec(plain)?.[1]] ?? 1);
};
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
    const [m, n] = [amount(a), amount(b)];
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

// ---- charts of all trials: charts.js -----------------------------------------------------------

async function drawOfTrials() {
  if (!window.Plotly) return;
  const fading = Object.keys(report.charts).filter((id) => report.charts[id].data.some(isOfTrials));
  for (const name of [...Object.keys(MADE_HERE), ...fading]) await draw(name);
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
    stepping(place);
    if (place.dataset.chart === "parallel") place.on?.("plotly_selected", brushed);
  }
  if (history.state) scrollTo({ top: state.top, behavior: "instant" });
  addEventListener("pagehide", keep);
  const redraw = () => Promise.all([...document.querySelectorAll("[data-chart]")].map((place) => draw(place.dataset.chart)));
  scheme.addEventListener("change", redraw);
  // The charts are of the screen's width and colours, and a browser does not draw them anew for paper.
  addEventListener("beforeprint", () => { document.documentElement.dataset.printing = "yes"; redraw(); });
  addEventListener("afterprint", () => { delete document.documentElement.dataset.printing; redraw(); });
  document.documentElement.dataset.ready = "yes";
}
