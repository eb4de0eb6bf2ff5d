"use strict";
// The charts that page.js makes of the table of trials, so that they show what its filter leaves: the
// curves, and the settings with the score in parallel coordinates.

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const ENDS = { done: BLUE, running: GREEN, pending: GREEN, paused: GREEN, failed: PINK, interrupted: GREY };
const RULES = [ORANGE, PURPLE, YELLOW, PINK, GREY];

function curves() {
  const metric = state.metric ?? report.metrics[0].name;
  const { label, percent } = report.metrics.find((one) => one.name === metric);
  const groups = new Map();
  const rules = [...new Set(trials.map((trial) => trial.end))].filter((end) => !(end in ENDS)).sort();
  for (const trial of shown()) {
    const known = report.curves[trial.name];
    if (!known) continue;
    const group = groups.get(trial.end) ?? { lines: { x: [], y: [], customdata: [] }, ends: { x: [], y: [], customdata: [] } };
    groups.set(trial.end, group);
    const add = (to, x, y, said) => { to.x.push(x); to.y.push(y); to.customdata.push(said); };
    const last = known.epoch.length - 1;
    const said = `trial ${escaped(trial.name)}, rank ${trial.cells[column("rank")]}, ${escaped(trial.end)}`;
    known.epoch.forEach((epoch, i) => add(group.lines, epoch, known[metric][i], said));
    add(group.lines, null, null, null);
    if (last === 0 || rules.includes(trial.end)) add(group.ends, known.epoch[last], known[metric][last], said);
  }
  const hovertemplate = `%{customdata}<br>epoch %{x}: %{y:.4~g}${percent ? " %" : ""}<extra></extra>`;
  const opacity = trials.length > 60 ? 0.5 : 0.85;
  // Marks of ends are a trace of their own: plotly draws a mark of any size for every point of a trace.
  const data = [...groups].flatMap(([end, { lines, ends }]) => {
    const at = rules.indexOf(end), colour = ENDS[end] ?? RULES[at % RULES.length];
    const name = at < 0 ? escaped(end) : `stopped by ${escaped(end)}`;
    const both = { type: "scatter", name, legendgroup: end, hovertemplate, opacity };
    return [
      { ...both, mode: "lines", ...lines, connectgaps: false, line: { width: 1, color: colour, dash: at < 3 ? "solid" : "dot" } },
      { ...both, mode: "markers", ...ends, showlegend: false, marker: { size: 8, color: colour, symbol: at < 0 ? "circle" : "x" } },
    ];
  });
  const name = state.trial ?? shown()[0]?.name, chosen = report.curves[name];
  if (chosen) {
    const rank = trials.find((trial) => trial.name === name).cells[column("rank")];
    data.push({
      type: "scatter", mode: "lines+markers", name: `trial ${escaped(name)}, rank ${rank}`, x: chosen.epoch, y: chosen[metric],
      hovertemplate: `trial ${escaped(name)}<br>epoch %{x}: %{y:.4~g}${percent ? " %" : ""}<extra></extra>`,
      line: { width: 3, color: INK }, marker: { size: 5 },
    });
  }
  const most = Object.values(report.curves).reduce((epoch, one) => Math.max(epoch, one.epoch.at(-1)), 0);
  const layout = { height: 460, xaxis: { title: { text: "epoch, from 0" }, dtick: most < 6 ? 1 : undefined }, yaxis: { title: { text: label } } };
  return { data, layout };
}

// A number as the table of trials has it: 1e-05, and not 0.00001.
const shortNumber = (value) => {
  const near = Number(value.toPrecision(3));
  if (near === 0 || Math.abs(near) >= 1e-4) return near.toString();
  return near.toExponential().replace(/e-(\d)$/, "e-0$1");
};

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
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => [part, shortNumber(back(low + part * span))]);
  return { name, place, ticks: high > low ? ticks : ticks.slice(0, 1), value: (part) => back(low + part * span) };
}

// A long choice without its middle: names of nets and losses often differ at their ends alone.
const shortened = (text) => (text.length > 14 ? `${text.slice(0, 6)}…${text.slice(-7)}` : text);

const scales = columns.map((one, at) => (one.axis ? { at, ...scaleOf(at) } : null)).filter(Boolean);

function parallel() {
  if (scales.length < 2) return null;
  const result = scales.at(-1);
  const shades = ["#9a9a9a", "#2f6db3", "#2a8c5a", "#b58900", "#d9661f"];
  const groups = shades.map(() => ({ x: [], y: [], customdata: [] }));
  const ranked = shown().filter((trial) => result.place(trial.cells[result.at]) !== null);
  const apart = ranked.length > 20 ? -0.08 : 0;  // lines to one choice lie side by side, the best on top
  ranked.forEach((trial, position) => {
    const group = groups[shades.length - 1 - Math.min(shades.length - 1, Math.floor((shades.length * position) / ranked.length))];
    for (const [i, scale] of scales.entries()) {
      group.x.push(i);
      group.y.push(scale.place(trial.cells[scale.at]) + (scale.choice ? apart * (position / ranked.length - 0.5) : 0));
      group.customdata.push(`trial ${escaped(trial.name)}, rank ${trial.cells[column("rank")]}<br>${escaped(scale.name)} ${escaped(trial.cells[scale.at])}`);
    }
    group.x.push(null); group.y.push(null); group.customdata.push(null);
  });
  const names = ["last fifth", "fourth", "third", "second", "best fifth of those shown"];
  const data = groups.map((group, i) => ({
    type: "scatter", mode: ranked.length > 100 ? "lines" : "lines+markers", ...group, name: names[i], connectgaps: false, hovertemplate: "%{customdata}<extra></extra>",
    line: { color: shades[i], width: (i === shades.length - 1 ? 2 : 1) * (ranked.length > 100 ? 0.5 : 1) }, marker: { size: 5, color: shades[i] },
    opacity: ranked.length > 100 ? 0.5 : 0.85,
  })).filter((trace) => trace.x.length).reverse();
  data.sort((one, other) => names.indexOf(one.name) - names.indexOf(other.name));
  const annotations = scales.flatMap((scale, i) => scale.ticks.map(([y, text]) => ({
    x: i, y, text: escaped(shortened(text)), showarrow: false, xanchor: "left", xshift: 5, font: { size: 11 }, bgcolor: of("--back"), opacity: 0.85, borderpad: 0,
  })));
  const shapes = scales.map((_, i) => ({ type: "line", x0: i, x1: i, y0: 0, y1: 1, line: { width: 1, color: GREY }, layer: "below" }));
  const place = document.querySelector('[data-chart="parallel"]');
  const width = onPaper() ? PAPER : Math.max(place.clientWidth, 92 * scales.length);
  // Plotly leaves a name out that would begin left of the chart, and cuts one that ends right of it.
  const least = (width - 22) / (scales.length + 1);  // pixels between two axes
  const room = (scale, most) => Math.max(most, (4 * scale.name.length) / least);
  const range = [-room(scales[0], 0.15), scales.length - 1 + room(result, 0.65)];
  const layout = {
    height: 460, annotations, shapes, dragmode: "select", legend: { traceorder: "reversed" }, width: width > place.clientWidth ? width : undefined,
    xaxis: { tickvals: scales.map((_, i) => i), ticktext: scales.map((scale) => escaped(scale.name)), showgrid: false, range, side: "top", ticks: "" },
    yaxis: { visible: false, range: [-0.08, 1.08] }, showlegend: true, margin: { t: 60 },
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

main();
