import { expect, test } from "vitest";
import { readRecording, traceOf, writeRecording } from "../source/record/recording";
import { Trace } from "../source/trace";
import { Tensor } from "../source/values";

const LINE = {
  version: 1,
  episode: 7,
  episode_id: "1f3a-7",
  turns: [
    { observation: { at: 2 }, action: { to: 3 }, reward: 1, done: false, truncated: false, latency_s: 0.5 },
    { observation: { at: 3 }, action: { to: 4 }, reward: "Infinity", done: true, truncated: false },
  ],
  return: "Infinity",
  length: 2,
  ended: "done",
  seed: 12,
  final_observation: { at: { __array__: "AAAAAAAAgD8=", dtype: "<f4", shape: [2] } },
};

async function collected<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}
const readAll = (blob: Blob) => collected(readRecording(blob));
const file = (...lines: string[]) => new Blob(lines.map((line) => `${line}\n`));

test("an episode is read, and each action stands beside what it led to", async () => {
  const [episode] = await readAll(file(JSON.stringify(LINE)));
  expect(episode).toMatchObject({ episode: 7, length: 2, return: Infinity, ended: "done" });
  const trace = await traceOf(episode!);
  expect(trace.entries.map((entry) => [entry.kind, entry.step, entry.total])).toEqual([
    ["reset", 0, 0],
    ["step", 1, 1],
    ["step", 2, Infinity],
  ]);
  expect(trace.entries[1]).toMatchObject({ action: { to: 3 }, observation: { at: 3 }, latencyS: 0.5 });
  const last = trace.last!.observation as { at: Tensor };
  expect([...last.at.data]).toEqual([0, 1]);
});

test("a last line that was cut is left out", async () => {
  const text = JSON.stringify(LINE);
  expect(await readAll(new Blob([`${text}\n${text}\n${text.slice(0, 40)}`]))).toHaveLength(2);
});

test("what is no recording is refused, with the line", async () => {
  await expect(readAll(new Blob([]))).rejects.toThrow("empty");
  await expect(readAll(file("{}"))).rejects.toThrow("Line 1 is no episode");
  await expect(readAll(file(JSON.stringify(LINE), "{"))).rejects.toThrow("Line 2 is no JSON");
  await expect(readAll(new Blob([Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)]))).rejects.toThrow("zstd");
});

test("what was played is written so that it can be read again", async () => {
  const trace = new Trace();
  const result = { reward: 0.5, done: false, truncated: false, latencyS: 0.01, at: 0 };
  const screen = new Tensor(Uint8Array.of(1, 2), [2]);
  trace.add({ ...result, kind: "reset", action: null, observation: { screen }, reward: null, options: { seed: 3 } });
  trace.add({ ...result, kind: "step", action: { id: 1 }, observation: { screen: null }, reward: NaN });
  trace.add({ ...result, kind: "reset", action: null, observation: {}, reward: null });
  trace.add({ ...result, kind: "step", action: { id: 2 }, observation: {}, done: true });
  const text = writeRecording(trace.entries, "web");
  const lines = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  expect(lines.map((line) => [line.episode_id, line.length, line.ended, line.seed])).toEqual([
    ["web-0", 1, "max_turns", 3],
    ["web-1", 1, "done", undefined],
  ]);
  expect(lines[0].turns[0].reward).toBe("NaN");
  const episodes = await readAll(new Blob([text]));
  const again = await traceOf(episodes[0]!);
  expect(again.entries[0]!.observation).toEqual({ screen });
});
