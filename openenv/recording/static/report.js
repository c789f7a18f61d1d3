// Draws each .chart of the page from the data beside it, in the colours of the page's style.
"use strict";

const { names, charts } = JSON.parse(document.getElementById("data").textContent);
const HEIGHT = 225;
const FEW = 30;
const drawn = new Map();
const wholeSteps = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

const digits = (value, count) => Number(value.toPrecision(count)).toLocaleString("en", { maximumSignificantDigits: count });
const units = {
  number: (value) => digits(value, 4),
  percent: (value) => `${digits(value, 3)} %`,
  time: (value) =>
    value >= 1 ? `${digits(value, 3)} s` : value >= 1e-3 ? `${digits(value * 1e3, 3)} ms` : `${digits(value * 1e6, 3)} µs`,
};

function styled(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function axis(format, options) {
  return {
    stroke: styled("--muted"),
    grid: { stroke: styled("--line"), width: 1 },
    ticks: { stroke: styled("--line"), width: 1, size: 5 },
    font: "12px system-ui, sans-serif",
    values: (_, splits) => splits.map((value) => (value === null ? "" : format(value))),
    ...options,
  };
}

function line(index, format, options) {
  const colour = styled(`--s${(index % 6) + 1}`);
  return {
    label: names.length > 1 ? names[index] : "mean",
    stroke: colour,
    width: 2,
    value: (_, value) => (value == null ? "" : format(value)),
    points: { show: false },
    ...options(colour),
  };
}

// A value over the run: a line for the means, a band around it.
function curve(shown, format, xLabel) {
  const series = [{ label: xLabel, value: (_, value) => (value == null ? "" : units.number(value)) }];
  const bands = [];
  shown.forEach(({ x }, index) => {
    series.push(line(index, format, () => ({ spanGaps: true, points: { show: x.length <= FEW, size: 6 } })));
    const edge = () => ({ width: 0, stroke: "transparent", class: "band", spanGaps: true });
    series.push(line(index, format, edge), line(index, format, edge));
    const last = series.length - 1;
    bands.push({ series: [last, last - 1], fill: `${styled(`--s${(index % 6) + 1}`)}2b` });
  });
  return {
    data: uPlot.join(shown.map(({ x, mean, low, high }) => [x, mean, low, high])),
    options: {
      series,
      bands,
      scales: { x: { time: false }, y: { range: padded } },
      cursor: { sync: { key: "run" }, y: false },
      axes: [axis(units.number, { space: 70, size: 34, incrs: wholeSteps }), axis(format, { size: 62 })],
    },
  };
}

function padded(_, least, most) {
  if (least === null || most === null) return [0, 1];
  if (least === most) return least === 0 ? [0, 1] : [Math.min(0, least), Math.max(0, most) * 1.1];
  const margin = (most - least) * 0.06;
  return [least >= 0 && least < most / 3 ? 0 : least - margin, most + margin];
}

// A distribution: which share of the values lies in each bin, and where its percentiles are.
function bins({ x, shares, marks }, format, xLabel, isLogarithmic) {
  const range = [x[0], x[x.length - 1]];
  const last = x.length - 1;
  const within = (u, value, _, index) => {
    if (value == null || index == null) return "";
    const at = Math.min(index, last - 1);
    return `${format(x[at])} to ${format(x[at + 1])}`;
  };
  const filled = (colour) => ({ fill: `${colour}33`, width: 1.5, paths: uPlot.paths.stepped({ align: 1 }) });
  const series = [{ label: xLabel, value: within }];
  shares.forEach((_, index) =>
    series.push(line(index, units.percent, (colour) => ({ ...filled(colour), label: names.length > 1 ? names[index] : "share" }))),
  );
  return {
    data: [x, ...shares.map((share) => (share.length ? [...share, share[share.length - 1]] : x.map(() => null)))],
    options: {
      series,
      scales: {
        x: { time: false, distr: isLogarithmic ? 3 : 1, range: (u, least, most) => (u.data[0].length === x.length && least <= range[0] ? range : [least, most]) },
        y: { range: (_, __, most) => [0, (most || 1) * 1.08] },
      },
      cursor: { y: false },
      axes: [axis(format, { space: 60, size: 34, ...(xLabel === "turns" && { incrs: wholeSteps }) }), axis(units.percent, { size: 56 })],
      hooks: { draw: [(u) => (marks || []).forEach((values, index) => mark(u, values, index))] },
    },
  };
}

function mark(u, values, index) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.strokeStyle = styled(`--s${(index % 6) + 1}`);
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const value of values) {
    const at = value === null ? NaN : Math.round(u.valToPos(value, "x", true));
    if (!(at >= bbox.left && at <= bbox.left + bbox.width)) continue;
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function draw(element) {
  const { chart, kind, unit, x } = element.dataset;
  const shown = charts[chart];
  const isEmpty = kind === "bins" ? shown.x.length === 0 : shown.every((one) => one.mean.every((value) => value === null));
  if (isEmpty) {
    element.textContent = "There is nothing to show.";
    return;
  }
  const { data, options } =
    kind === "bins" ? bins(shown, units[unit], x, unit === "time") : curve(shown, units[unit], x);
  drawn.get(element)?.destroy();
  const plot = new uPlot({ width: element.clientWidth, height: HEIGHT, ...options }, data, element);
  drawn.set(element, plot);
  element.classList.add("idle");
  plot.over.addEventListener("mouseenter", () => element.classList.remove("idle"));
  plot.over.addEventListener("mouseleave", () => element.classList.add("idle"));
}

function drawAll() {
  document.querySelectorAll(".chart").forEach(draw);
}

drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
new ResizeObserver(() => {
  for (const [element, plot] of drawn) {
    if (plot.width !== element.clientWidth) plot.setSize({ width: element.clientWidth, height: HEIGHT });
  }
}).observe(document.body);
