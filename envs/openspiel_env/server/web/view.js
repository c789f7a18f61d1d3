// The board, if the game has one, with the moves on its squares; else what the player sees, in words.

export default function view(element, { observation, act }) {
  useStyles();
  const lines = linesOf(observation.text);
  const moves = movesOf(observation);
  const parts = [heading(observation)];
  const placed = lines ? placesOf(moves, lines) : new Map();
  if (lines) parts.push(board(lines, placed, act));
  else parts.push(words(observation.information_state || observation.text));
  const others = moves.filter((move) => ![...placed.values()].includes(move));
  if (act && others.length && others.length < moves.length) parts.push(buttons(others, act));
  element.replaceChildren(...parts);
}

/** The page's policy takes styles from files only. */
function useStyles() {
  const href = new URL("view.css", import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return;
  const link = document.createElement("link");
  Object.assign(link, { rel: "stylesheet", href });
  document.head.append(link);
}

const movesOf = ({ legal_actions: ids, legal_action_names: names }) =>
  ids.map((id, index) => ({ id, name: names[index] ?? String(id) }));

/** The lines of a board: as long as each other, and nothing but symbols. */
function linesOf(text) {
  const lines = text.split("\n").map((line) => line.trimEnd()).filter(Boolean);
  const isBoard =
    lines.length > 1 &&
    lines[0].length > 1 &&
    lines.length <= 20 &&
    lines.every((line) => line.length === lines[0].length && !line.includes(" "));
  return isBoard ? lines : null;
}

/** By "row,column", the move that goes there: named as x(1,2), or by its column as x3. */
function placesOf(moves, lines) {
  const places = new Map();
  for (const move of moves) {
    const [, row, column] = /\((\d+),\s*(\d+)\)/.exec(move.name) ?? [];
    if (row !== undefined) places.set(`${row},${column}`, move);
    const [, alone] = /^[a-z](\d+)$/.exec(move.name) ?? [];
    // Whatever is put into a column falls to its lowest empty place.
    if (alone !== undefined) places.set(`${lowestEmpty(lines, Number(alone))},${alone}`, move);
  }
  return places;
}

function lowestEmpty(lines, column) {
  const rows = [...lines.keys()].filter((row) => lines[row][column] === ".");
  return Math.max(...rows);
}

function board(lines, places, act) {
  const table = node("div", "spiel-board");
  table.setAttribute("role", "group");
  table.setAttribute("aria-label", `Board:\n${lines.join("\n")}`);
  table.style.setProperty("--columns", String(lines[0].length));
  lines.forEach((line, row) => {
    [...line].forEach((symbol, column) => table.append(cell(symbol, places.get(`${row},${column}`), act)));
  });
  return table;
}

function cell(symbol, move, act) {
  const text = symbol === "." ? "" : symbol;
  if (!move || !act) return node("span", `spiel-cell symbol-${symbol.toLowerCase()}`, text);
  const button = moveButton(move, act, text);
  button.className = "spiel-cell";
  button.setAttribute("aria-label", `Move ${move.name}`);
  return button;
}

function buttons(moves, act) {
  const row = node("div", "spiel-moves");
  row.append(...moves.map((move) => moveButton(move, act, move.name)));
  return row;
}

function moveButton(move, act, text) {
  const button = node("button", "", text);
  button.type = "button";
  button.addEventListener("click", () => act({ action_id: move.id }));
  return button;
}

function words(text) {
  const block = node("pre", "", text || "Nothing to see.");
  block.tabIndex = 0;
  block.setAttribute("role", "group");
  block.setAttribute("aria-label", "What the player sees");
  return block;
}

function heading({ game_phase: phase, current_player_id: player, returns }) {
  if (phase !== "terminal") return node("p", "spiel-turn", `Your move, as player ${player}`);
  return node("p", "spiel-turn", `The game is over: ${returns.map((one, index) => `player ${index} ${one}`).join(", ")}`);
}

function node(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
