import type { Link } from "openenv";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { keepSaved, restoreTrace, savedPage, savePage } from "../source/play/saved";
import { Trace } from "../source/trace";

const link = { state: "open", save: () => ({ token: "secret" }) } as unknown as Link;
const step = { kind: "step", at: 0, action: { go: 1 }, done: false, truncated: false, latencyS: 0.1 } as const;

beforeEach(() => {
  const stored = new Map<string, string>();
  vi.stubGlobal("sessionStorage", {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, text: string) => stored.set(key, text),
    removeItem: (key: string) => stored.delete(key),
  });
});
afterEach(() => vi.unstubAllGlobals());

test("a reload keeps what is no finite number", () => {
  const trace = new Trace();
  for (const reward of [Infinity, -Infinity, true]) trace.add({ ...step, reward, observation: null });
  savePage(link, trace, { action: null });
  const restored = new Trace();
  restoreTrace(restored, savedPage()?.entries);
  restored.add({ ...step, reward: 1, observation: null });
  expect(restored.entries.map(({ reward, total }) => [reward, total])).toEqual([
    [Infinity, Infinity],
    [-Infinity, NaN],
    [true, NaN],
    [1, NaN],
  ]);
});

test("what was asked is known when its reply comes after the reload", () => {
  savePage(link, new Trace(), { action: { go: 2 } });
  expect(savedPage()?.asked).toEqual({ action: { go: 2 } });
});

test("it is there once, unless the page goes before it was used", () => {
  savePage(link, new Trace(), { action: null });
  const saved = savedPage()!;
  expect(savedPage()).toBeUndefined();
  keepSaved(saved);
  expect(savedPage()).toEqual(saved);
});
