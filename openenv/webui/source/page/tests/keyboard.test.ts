import { signal } from "@preact/signals";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Desk } from "../source/play/desk";
import { listen } from "../source/play/keyboard";
import { keysFor } from "../source/play/keys";
import { Trace } from "../source/trace";

beforeEach(() => {
  vi.useFakeTimers();
  const page = new EventTarget();
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
  vi.stubGlobal("document", Object.assign(new EventTarget(), { hidden: false }));
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** A game in real time that has nothing but its clock. */
function fakeGame() {
  const choices = [{ label: "NOOP", action: {} }];
  const choose = vi.fn(() => Promise.resolve());
  const play = { trace: signal(new Trace()), hasSession: signal(true), problem: signal(null) };
  const desk = { play, choose, keys: signal(keysFor(choices)), isRealTime: signal(true), isOver: signal(false) };
  return { desk: desk as unknown as Desk, choose };
}

test("a game that nobody listens for stands still", async () => {
  const { desk, choose } = fakeGame();
  const holding = listen(desk);
  await vi.advanceTimersByTimeAsync(1000);
  holding.stop();
  const steps = choose.mock.calls.length;
  expect(steps).toBeGreaterThan(10);
  await vi.advanceTimersByTimeAsync(1000);
  expect(choose).toHaveBeenCalledTimes(steps);
});

test("a game goes no faster when its tab was left and opened again", async () => {
  const { desk, choose } = fakeGame();
  for (let visit = 0; visit < 3; visit++) listen(desk).stop();
  choose.mockClear();
  const holding = listen(desk);
  await vi.advanceTimersByTimeAsync(1000);
  expect(choose.mock.calls.length).toBeLessThan(18);
  holding.stop();
});
