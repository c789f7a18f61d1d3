// What the portfolio was worth on each day, and what it holds today.

const WIDTH = 720;
const HEIGHT = 240;
const MARGIN = { left: 84, right: 12, top: 12, bottom: 26 };

/** By element: what was seen of its episode, by step. */
const histories = new WeakMap();

export default function view(element, { observation, action, previous, step }) {
  const history = historyOf(element, step, previous);
  history[step] = { value: observation.portfolio_value, date: observation.date };
  const stocks = action?.actions?.length ?? element.stocks;
  element.stocks = stocks;
  const parts = [summary(observation, history), canvas(element, history, step)];
  if (stocks) parts.push(holdings(observation.state.data, stocks));
  element.replaceChildren(...parts);
}

/** A replay may go back and forth. What does not lead to the day before is another episode's. */
function historyOf(element, step, previous) {
  const known = histories.get(element) ?? [];
  const before = known[step - 1];
  const isSame = !previous || !before || (before.value === previous.portfolio_value && before.date === previous.date);
  const history = isSame ? known : [];
  if (previous) history[step - 1] = { value: previous.portfolio_value, date: previous.date };
  histories.set(element, history);
  return history;
}

const money = (number) => number.toLocaleString("en", { maximumFractionDigits: 0 });

function summary({ portfolio_value: value, date }, history) {
  const first = history.find(Boolean).value;
  const gain = ((value / first - 1) * 100).toFixed(2);
  const line = node("p", `${date}: ${money(value)} (${gain >= 0 ? "+" : ""}${gain} %)`);
  line.style.fontSize = "1.2rem";
  return line;
}

function canvas(element, history, step) {
  const made = document.createElement("canvas");
  const scale = window.devicePixelRatio || 1;
  Object.assign(made, { width: WIDTH * scale, height: HEIGHT * scale });
  Object.assign(made.style, { width: "100%", maxWidth: `${WIDTH}px` });
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", `The portfolio's value over ${step + 1} days`);
  const context = made.getContext("2d");
  context.scale(scale, scale);
  const seen = history.flatMap((day, index) => (day && index <= step ? [{ ...day, index }] : []));
  plot(context, seen, coloursOf(element));
  return made;
}

function coloursOf(element) {
  const style = getComputedStyle(element);
  const [line, text, value] = ["--line", "--faint", "--plot-total"].map((name) => style.getPropertyValue(name));
  return { line, text, value };
}

function plot(context, days, colours) {
  const values = days.map((day) => day.value);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const pad = (high - low || high * 0.01 || 1) * 0.1;
  const first = days[0].index;
  const span = Math.max(days.at(-1).index - first, 1);
  const x = (index) => MARGIN.left + ((index - first) / span) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (value) =>
    HEIGHT - MARGIN.bottom - ((value - low + pad) / (high - low + 2 * pad)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  context.font = "12px system-ui";
  for (const value of [low, (low + high) / 2, high]) {
    context.strokeStyle = colours.line;
    context.fillStyle = colours.text;
    stroke(context, [[MARGIN.left, y(value)], [WIDTH - MARGIN.right, y(value)]]);
    context.textAlign = "right";
    context.fillText(money(value), MARGIN.left - 8, y(value) + 4);
  }
  context.textAlign = "left";
  context.fillText(days[0].date, MARGIN.left, HEIGHT - 8);
  context.textAlign = "right";
  if (days.length > 1) context.fillText(days.at(-1).date, WIDTH - MARGIN.right, HEIGHT - 8);
  context.strokeStyle = colours.value;
  context.lineWidth = 2;
  stroke(context, days.map((day) => [x(day.index), y(day.value)]));
}

function stroke(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

/** The state has cash, the price of each stock and the shares of each, in this order. */
function holdings(state, stocks) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const name of ["Stock", "Price", "Shares", "Worth"]) {
    const cell = node("th", name);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  const add = (...cells) => {
    const row = body.insertRow();
    for (const cell of cells) row.insertCell().textContent = cell;
    for (const cell of row.cells) cell.style.textAlign = "left";
  };
  add("Cash", "", "", money(state[0]));
  for (let stock = 0; stock < stocks; stock++) {
    const [price, shares] = [state[1 + stock], state[1 + stocks + stock]];
    add(String(stock + 1), price.toFixed(2), money(shares), money(price * shares));
  }
  return table;
}

function node(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
