// From keys to actions: arrows and space for whatever is a joystick, digits for anything else.

import type { Choice } from "./choices";

type Direction = "UP" | "DOWN" | "LEFT" | "RIGHT" | "FIRE";

/** By `KeyboardEvent.code`: the place on the keyboard, whatever its layout. */
const STICK: Record<string, Direction> = {
  ArrowUp: "UP",
  ArrowDown: "DOWN",
  ArrowLeft: "LEFT",
  ArrowRight: "RIGHT",
  Space: "FIRE",
  KeyW: "UP",
  KeyS: "DOWN",
  KeyA: "LEFT",
  KeyD: "RIGHT",
};

const PARTS: [Direction, RegExp][] = [
  ["UP", /UP|NORTH/],
  ["DOWN", /DOWN|SOUTH/],
  ["LEFT", /LEFT|WEST/],
  ["RIGHT", /RIGHT|EAST/],
  ["FIRE", /FIRE|SHOOT|JUMP/],
];
const NOTHING = /^(NOOP|NOP|NONE|NOTHING|STAY|WAIT|IDLE|PASS)$/;

export interface Keys {
  /** The action of the keys that are held together; undefined if they mean nothing. */
  held(codes: ReadonlySet<string>): Choice | undefined;
  /** The choice that lets time pass, if there is one. */
  nothing: Choice | undefined;
  /** The key to show beside a choice. */
  hint(choice: Choice): string;
}

/** `own` are keys that the environment or its view has named, by code or by key. */
export function keysFor(choices: Choice[], own: Record<string, unknown> = {}): Keys {
  const stick = stickOf(choices);
  const named = new Map(Object.entries(own).map(([key, action]) => [key, nameOf(action, choices)]));
  const nothing = choices.find(({ label }) => NOTHING.test(label.trim().toUpperCase()));
  return {
    nothing,
    held: (codes) =>
      lastOf(codes, named) ??
      onStick(codes, stick) ??
      (codes.has("Space") || codes.has("Digit0") || codes.has("Numpad0") ? nothing : undefined) ??
      byDigit(codes, choices, stick),
    hint: (choice) => hint(choice, { named, stick, choices, nothing }),
  };
}

const nameOf = (action: unknown, choices: Choice[]): Choice =>
  choices.find((one) => JSON.stringify(one.action) === JSON.stringify(action)) ?? {
    label: JSON.stringify(action),
    action,
  };

/** Choices by the directions that their names are made of, such as "FIRE+UP". */
function stickOf(choices: Choice[]): Map<string, Choice> {
  const stick = namedStick(choices);
  // Games of one dimension name it as their paddle's knob was turned, whichever way it shows.
  const isSideways = stick.has("LEFT") && stick.has("RIGHT") && !stick.has("UP") && !stick.has("DOWN");
  if (!isSideways) return stick;
  const turned = [...stick].map(([key, choice]): [string, Choice] => [
    keyOf(key.split("+").map((part) => TURNED[part] ?? (part as Direction))),
    choice,
  ]);
  return new Map([...stick, ...turned]);
}

const TURNED: Record<string, Direction> = { RIGHT: "UP", LEFT: "DOWN" };

function namedStick(choices: Choice[]): Map<string, Choice> {
  const stick = new Map<string, Choice>();
  for (const choice of choices) {
    const label = choice.label.toUpperCase();
    const parts = PARTS.filter(([, pattern]) => pattern.test(label)).map(([part]) => part);
    const rest = PARTS.reduce((left, [, pattern]) => left.replace(pattern, ""), label);
    // Only names that say nothing else: "move a1 up to a8" is no joystick.
    const key = keyOf(parts);
    if (parts.length && rest.replace(/[^A-Z0-9]/g, "") === "" && !stick.has(key)) stick.set(key, choice);
  }
  return stick;
}

const keyOf = (parts: Iterable<Direction>) => [...parts].toSorted().join("+");

function lastOf(codes: ReadonlySet<string>, named: Map<string, Choice>): Choice | undefined {
  return [...codes].reverse().map((code) => named.get(code)).find(Boolean);
}

/** What all held directions mean together; if there is no such thing, what the latest of them does. */
function onStick(codes: ReadonlySet<string>, stick: Map<string, Choice>): Choice | undefined {
  const parts = [...codes].map((code) => STICK[code]).filter((part) => part !== undefined);
  if (!parts.length) return undefined;
  const together = stick.get(keyOf(new Set(parts)));
  return together ?? parts.reverse().map((part) => stick.get(part)).find(Boolean);
}

function byDigit(codes: ReadonlySet<string>, choices: Choice[], stick: Map<string, Choice>) {
  if (stick.size) return undefined;
  const digit = [...codes].map((code) => /^(?:Digit|Numpad)([1-9])$/.exec(code)?.[1]).findLast(Boolean);
  return digit === undefined ? undefined : choices[Number(digit) - 1];
}

const SYMBOLS: Record<string, string> = {
  UP: "↑", DOWN: "↓", LEFT: "←", RIGHT: "→", FIRE: "Space",
  ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→",
};

function hint(choice: Choice, known: {
  named: Map<string, Choice>;
  stick: Map<string, Choice>;
  choices: Choice[];
  nothing: Choice | undefined;
}): string {
  for (const [key, one] of known.named) {
    if (one === choice) return SYMBOLS[key] ?? key.replace(/^(Key|Digit)/, "");
  }
  for (const [key, one] of known.stick) {
    if (one === choice) return key.split("+").map((part) => SYMBOLS[part]).join(" ");
  }
  if (choice === known.nothing) return known.stick.has("FIRE") ? "0" : SYMBOLS["FIRE"]!;
  const index = known.choices.indexOf(choice);
  return known.stick.size || index >= 9 ? "" : String(index + 1);
}
