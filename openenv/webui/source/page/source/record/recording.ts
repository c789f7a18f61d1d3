// Recordings: JSON lines, an episode each, as docs/reference/recording.md has them.

import { fromJson, toJson } from "openenv";
import { Trace, type Entry } from "../trace";

export interface Episode {
  episode: number;
  length: number;
  return: number;
  ended: string;
  error?: { code: string; message: string };
  /** Its line of the file: a recording with pictures is larger than what fits into memory. */
  line: Blob;
}

interface RawTurn {
  observation: unknown;
  action: unknown;
  reward: number | boolean | string | null;
  done: boolean;
  truncated: boolean;
  metadata?: unknown;
  latency_s?: number;
}

interface RawEpisode {
  version: number;
  episode: number;
  turns: RawTurn[];
  return: number | string;
  length: number;
  ended: string;
  seed?: number;
  final_observation?: unknown;
  error?: { code: string; message: string };
  reset_latency_s?: number;
}

const ZSTANDARD = [0x28, 0xb5, 0x2f, 0xfd];

/** Read a recording, an episode after the other. Throws an Error that names the line. */
export async function* readRecording(file: Blob): AsyncGenerator<Episode> {
  const start = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  if (ZSTANDARD.every((byte, index) => start[index] === byte)) {
    throw new Error("It is compressed: zstd -d FILE makes one that can be opened.");
  }
  const lines = await linesOf(file);
  if (!lines.length) throw new Error("It is empty: a recording has an episode in each line.");
  for (const [index, line] of lines.entries()) yield await readEpisode(line, index + 1);
}

/** The lines as parts of the file. What follows the last newline was cut while it was written. */
async function linesOf(file: Blob): Promise<Blob[]> {
  const lines: Blob[] = [];
  let start = 0;
  let offset = 0;
  for await (const chunk of chunksOf(file)) {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) {
      if (offset + at > start) lines.push(file.slice(start, offset + at));
      start = offset + at + 1;
    }
    offset += chunk.length;
  }
  return lines.length || file.size === 0 ? lines : [file];
}

async function* chunksOf(file: Blob): AsyncGenerator<Uint8Array> {
  const reader = file.stream().getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
}

async function readEpisode(line: Blob, number: number): Promise<Episode> {
  const raw = await parsed(line).catch((error: Error) => {
    throw new Error(`Line ${number} is no JSON: ${error.message}`);
  });
  if (raw?.version !== 1 || !Array.isArray(raw.turns)) {
    throw new Error(`Line ${number} is no episode of a recording (version 1).`);
  }
  const { episode, length, ended, error } = raw;
  return { episode, length, return: Number(raw.return), ended, error, line };
}

const parsed = async (line: Blob) => JSON.parse(await line.text()) as RawEpisode;

/** An episode as entries: what each action led to stands beside it. */
export async function traceOf({ line }: Episode): Promise<Trace> {
  const raw = await parsed(line);
  const trace = new Trace(false);
  const observations = [...raw.turns.map((turn) => turn.observation), raw.final_observation];
  const add = (entry: Omit<Entry, "observation" | "step" | "total">, observation: unknown) =>
    trace.add(decodedLater(entry, observation ?? null));
  const nothing = { at: null, action: null, reward: null, done: false, truncated: false };
  const options = raw.seed === undefined ? undefined : { seed: raw.seed };
  add({ ...nothing, kind: "reset", latencyS: raw.reset_latency_s ?? null, options }, observations[0]);
  raw.turns.forEach((turn, index) => {
    const { done, truncated, metadata, latency_s: latencyS = null } = turn;
    const reward = turn.reward === null ? null : Number(turn.reward);
    const action = fromJson(turn.action);
    add({ kind: "step", at: null, action, reward, done, truncated, metadata, latencyS }, observations[index + 1]);
  });
  return trace;
}

/** Decoding all pictures of an episode may take seconds: each is decoded when it is looked at. */
function decodedLater<Part extends object>(entry: Part, data: unknown): Part & { observation: unknown } {
  let observation: unknown;
  return Object.defineProperty(entry, "observation", {
    enumerable: true,
    get: () => (observation ??= fromJson(data)),
  }) as Part & { observation: unknown };
}

/** What was played, as a recording. */
export function writeRecording(entries: readonly Entry[], run: string): string {
  const episodes: Entry[][] = [];
  for (const entry of entries) {
    if (entry.kind === "reset" || !episodes.length) episodes.push([]);
    episodes.at(-1)!.push(entry);
  }
  return episodes.map((episode, index) => `${JSON.stringify(written(episode, index, run))}\n`).join("");
}

function written(entries: Entry[], episode: number, run: string): unknown {
  const begun = entries[0]?.kind === "reset" ? entries[0] : undefined;
  const steps = begun ? entries.slice(1) : entries;
  const last = entries.at(-1)!;
  const turns = steps.map((entry, index) => ({
    observation: (index ? steps[index - 1] : begun)?.observation ?? null,
    action: entry.action,
    reward: entry.reward,
    done: entry.done,
    truncated: entry.truncated,
    ...(entry.metadata ? { metadata: entry.metadata } : {}),
    ...(entry.latencyS === null ? {} : { latency_s: entry.latencyS }),
  }));
  const { seed } = (begun?.options ?? {}) as { seed?: unknown };
  return toJson({
    version: 1,
    episode,
    episode_id: `${run}-${episode}`,
    turns,
    return: last.total,
    length: turns.length,
    // A player who stops is the run's own limit: the environment has not ended it.
    ended: last.done ? "done" : last.truncated ? "truncated" : "max_turns",
    ...(typeof seed === "number" ? { seed } : {}),
    final_observation: last.observation,
    ...(begun?.latencyS == null ? {} : { reset_latency_s: begun.latencyS }),
  });
}
