import { describe, expect, test } from "vitest";
import type { PageConfig } from "../source/config";
import { choicesOf } from "../source/play/choices";
import { keysFor } from "../source/play/keys";
import { messageField, transcript } from "../source/play/transcript";
import { Trace, type Entry } from "../source/trace";
import { Tensor } from "../source/values";

const config = (action_schema: object, more: object = {}) =>
  ({ action_schema, discrete_actions: null, keys: null, ...more }) as PageConfig;

const ATARI = config({
  type: "object",
  properties: {
    action_id: { among: "legal_actions", type: "integer", minimum: 0, maximum: 17 },
    game_name: { anyOf: [{ type: "string" }, { type: "null" }], default: null },
  },
  required: ["action_id"],
});

const screen = { legal_actions: [0, 1, 3], action_names: ["NOOP", "FIRE", "RIGHT"] };

describe("what can be done", () => {
  test("is what the observation lists, by its names", () => {
    expect(choicesOf(ATARI, screen)).toEqual([
      { label: "NOOP", action: { action_id: 0 } },
      { label: "FIRE", action: { action_id: 1 } },
      { label: "RIGHT", action: { action_id: 3 } },
    ]);
    expect(choicesOf(ATARI, undefined)).toHaveLength(18);
  });

  test("is what the schema enumerates, where that is all there is to say", () => {
    const one = config({ type: "object", properties: { move: { enum: ["up", "down"] } }, required: ["move"] });
    expect(choicesOf(one, {}).map(({ label }) => label)).toEqual(["up", "down"]);
    const two = config({
      type: "object",
      properties: { move: { enum: ["up", "down"] }, by: { type: "number" } },
      required: ["move", "by"],
    });
    expect(choicesOf(two, {})).toEqual([]);
  });

  test("is what the server says, if it says so", () => {
    const discrete_actions = [{ label: "Go", action: { go: 1 } }];
    expect(choicesOf(config({}, { discrete_actions }), {})).toBe(discrete_actions);
  });
});

describe("keys", () => {
  const choices = ["NOOP", "FIRE", "UP", "UPRIGHT", "RIGHT", "UPFIRE"].map((label, id) => ({ label, action: { id } }));
  const held = (...codes: string[]) => keysFor(choices).held(new Set(codes))?.label;

  test("that are held together are one direction", () => {
    expect(held("ArrowUp", "ArrowRight")).toBe("UPRIGHT");
    expect(held("Space", "KeyW")).toBe("UPFIRE");
    expect(held("Space")).toBe("FIRE");
  });

  test("that mean nothing together do what the latest of them does", () => {
    expect(held("ArrowUp", "ArrowRight", "Space")).toBe("FIRE");
    expect(held("ArrowLeft")).toBeUndefined();
    expect(held("Digit1")).toBeUndefined();
  });

  test("turn a knob both ways", () => {
    const paddle = ["NOOP", "RIGHT", "LEFT"].map((label, id) => ({ label, action: { id } }));
    expect(keysFor(paddle).held(new Set(["ArrowUp"]))?.label).toBe("RIGHT");
    expect(keysFor(paddle).held(new Set(["Space"]))?.label).toBe("NOOP");
    expect(held("Digit0")).toBe("NOOP");
  });

  test("are digits where nothing is a direction", () => {
    const moves = ["x(0,0)", "x(0,1)"].map((label, id) => ({ label, action: { id } }));
    const keys = keysFor(moves);
    expect(keys.held(new Set(["Digit2"]))?.label).toBe("x(0,1)");
    expect([keys.hint(moves[1]!), keys.nothing]).toEqual(["2", undefined]);
  });

  test("of the environment come first", () => {
    const keys = keysFor(choices, { ArrowUp: { id: 0 }, x: { id: 9 } });
    expect(keys.held(new Set(["ArrowUp"]))?.label).toBe("NOOP");
    expect(keys.held(new Set(["x"]))?.action).toEqual({ id: 9 });
  });
});

describe("conversations", () => {
  const entry = (observation: unknown, action: unknown = null) => ({ observation, action }) as Entry;

  test("are what the observation tells", () => {
    const messages = [{ role: "user", content: "Hello" }];
    expect(transcript([entry({ tokens: [1], messages })], "message")).toBe(messages);
  });

  test("are made of what was said and answered otherwise", () => {
    const said = transcript([entry({ text: "Who?" }), entry({ text: "Indeed" }, { message: "I" })], "message");
    expect(said.map(({ role, content }) => `${role}: ${content}`)).toEqual(["user: Who?", "assistant: I", "user: Indeed"]);
    expect(messageField({ properties: { id: { type: "integer" }, answer: { type: "string" } } })).toBe("answer");
  });
});

describe("a trace", () => {
  const step = { kind: "step", at: 0, action: null, done: false, truncated: false, latencyS: null } as const;
  const reset = { ...step, kind: "reset", reward: null, observation: null } as const;

  test("counts steps and rewards of each episode", () => {
    const trace = new Trace();
    trace.add(reset);
    trace.add({ ...step, reward: 1, observation: null });
    trace.add({ ...step, reward: true, observation: null });
    trace.add(reset);
    expect(trace.entries.map(({ step: at, total }) => [at, total])).toEqual([[0, 0], [1, 1], [2, 2], [0, 0]]);
    expect(trace.episodeOf(1)).toHaveLength(3);
    expect(trace.episodeOf(3)).toHaveLength(1);
  });

  test("lets the oldest pictures go when there are too many", () => {
    const trace = new Trace();
    const observation = () => ({ screen: new Tensor(new Uint8Array(100 * 2 ** 20), [100, 2 ** 20]), lives: 3 });
    for (let index = 0; index < 3; index++) trace.add({ ...step, reward: 0, observation: observation() });
    expect(trace.entries.map(({ isPruned }) => isPruned ?? false)).toEqual([true, false, false]);
    expect(trace.entries[0]!.observation).toEqual({ screen: null, lives: 3 });
  });

  test("knows whether steps are missing", () => {
    const whole = new Trace();
    for (const entry of [reset, { ...step, reward: 0, observation: null }, reset]) whole.add({ ...entry });
    expect(whole.hasGaps).toBe(false);
    whole.add({ ...step, step: 5, reward: 0, observation: null });
    expect(whole.hasGaps).toBe(true);
    const joined = new Trace();
    joined.add({ ...reset, step: 57 });
    expect(joined.hasGaps).toBe(true);
  });

  test("lets the oldest long texts go too", () => {
    const trace = new Trace();
    const observation = () => ({ page: "x".repeat(100 * 2 ** 20), title: "short" });
    for (let index = 0; index < 3; index++) trace.add({ ...step, reward: 0, observation: observation() });
    expect(trace.entries[0]!.observation).toEqual({ page: null, title: "short" });
    expect(trace.entries[1]!.isPruned).toBeUndefined();
  });

  test("shows the newest until another one is chosen", () => {
    const trace = new Trace();
    trace.add(reset);
    trace.add({ ...step, reward: 0, observation: null });
    expect(trace.shown.value).toBe(1);
    trace.chosen.value = 0;
    trace.add({ ...step, reward: 0, observation: null });
    expect(trace.shown.value).toBe(0);
  });
});
