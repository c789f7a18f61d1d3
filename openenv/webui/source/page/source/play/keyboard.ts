// Keys become actions, one after the other: in real time as long as they are held, else one for each
// time that they are pressed.

import { effect } from "@preact/signals";
import type { Choice } from "./choices";
import type { Desk } from "./desk";

/** An Atari game shows 60 pictures a second, and an action is held for four of them. */
const STEP_MS = 1000 / 15;
/** A game that nobody plays any more is halted. */
const PATIENCE_MS = 90_000;

/** More would go on long after the last key. */
const MAX_TAPS = 3;

export interface Holding {
  /** Take this action again and again, or none with null. */
  hold(choice: Choice | null): void;
  stop(): void;
}

/** Listen to the page's keys until `stop`. */
export function listen(desk: Desk): Holding {
  const held = new Set<string>();
  let pressed: Choice | null = null;
  /** What was pressed and not taken yet. */
  let taps: Choice[] = [];
  let isRunning = false;
  let isStopped = false;
  let lastKeyAt = performance.now();

  const next = () => {
    // Whoever listens after this one has a loop of its own.
    if (isStopped) return undefined;
    if (pressed) return pressed;
    // A key that was let go before its turn still counts.
    const [tapped, ...later] = taps;
    taps = later;
    if (tapped || !desk.isRealTime.value) return tapped;
    return desk.keys.value.held(held) ?? (passesTime() ? desk.keys.value.nothing : undefined);
  };

  const looksBack = () => desk.play.trace.value.chosen.value !== null;
  const passesTime = () => {
    if (document.hidden || looksBack()) return false;
    if (performance.now() - lastKeyAt < PATIENCE_MS) return true;
    desk.wantsRealTime.value = false;
    return false;
  };

  /** Take steps while there is something to do, and no faster than the game is meant to go. */
  const run = async () => {
    if (isRunning) return;
    isRunning = true;
    for (let choice = next(); choice; choice = next()) {
      const before = performance.now();
      if (!desk.play.hasSession.value || desk.isOver.value) break;
      await desk.choose(choice);
      if (desk.play.problem.value) break;
      if (pressed || desk.isRealTime.value) await pause(STEP_MS - (performance.now() - before));
    }
    taps = [];
    isRunning = false;
  };

  const down = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    const isOurs = desk.keys.value.held(new Set([event.code])) ?? desk.keys.value.held(new Set([event.key]));
    if (!isOurs) return;
    event.preventDefault();
    lastKeyAt = performance.now();
    held.add(nameOf(desk, event));
    const choice = desk.keys.value.held(held);
    const isHeld = event.repeat && (desk.isRealTime.value || taps.length > 0);
    if (choice && !isHeld) taps = [...taps, choice].slice(-MAX_TAPS);
    void run();
  };
  const up = (event: KeyboardEvent) => {
    held.delete(event.code);
    held.delete(event.key);
  };
  const leave = () => {
    held.clear();
    pressed = null;
    taps = [];
  };
  const resume = () => void run();

  addEventListener("keydown", down);
  addEventListener("keyup", up);
  addEventListener("blur", leave);
  document.addEventListener("visibilitychange", resume);
  const stop = effect(() => {
    if (!desk.isRealTime.value || looksBack() || !desk.play.hasSession.value || desk.isOver.value) return;
    lastKeyAt = performance.now();
    void run();
  });
  return {
    hold: (choice) => {
      pressed = choice;
      lastKeyAt = performance.now();
      if (choice) void run();
    },
    stop: () => {
      isStopped = true;
      stop();
      leave();
      removeEventListener("keydown", down);
      removeEventListener("keyup", up);
      removeEventListener("blur", leave);
      document.removeEventListener("visibilitychange", resume);
    },
  };
}

const nameOf = (desk: Desk, event: KeyboardEvent) =>
  desk.keys.value.held(new Set([event.code])) ? event.code : event.key;

/** Fields take their keys themselves, and so does a focused button or link the keys that press it. */
function isTyping(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0];
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.matches("input, textarea, select")) return true;
  return event.code === "Space" && target.matches("button, a, summary");
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, Math.max(ms, 0)));
