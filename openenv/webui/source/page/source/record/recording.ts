// Recordings: JSON lines, an episode each, as docs/reference/recording.md has them.

import { fromJson, toJson } from "openenv";
import { Trace, type Entry } from "../trace";

export interface Episode {
  episode: number;
  episodeId: string;
  length: number;
  return: number;
  ended: string;
  seed?: number;
  error?: { code: string; message: string };
  /** Arrays are still text in it: they are decoded when the episode is opened. */
  raw: RawEpisode;
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
  episode_id: string;
  turns: RawTurn[];
  return: number | string;
  length: number;
  ended: string;
  seed?: number;
  final_observation?: unknown;
  error?: { code: string; message: string };
  reset_latency_s?: number;
}

/** Read a recording's text. Throws an Error that names the line. */
export function readRecording(text: string): Episode[] {
  const lines = text.split("\n");
  // What follows the last newline was cut while it was written.
  const cut = lines.pop() ?? "";
  const whole = lines.filter((line) => line.trim() !== "");
  if (!whole.length && cut.trim()) whole.push(cut);
  if (!whole.length) throw new Error("The file is empty: a recording has an episode in each line.");
  return whole.map((line, index) => readEpisode(line, index + 1));
}

function readEpisode(line: string, number: number): Episode {
  let raw: RawEpisode;
  try {
    raw = JSON.parse(line) as RawEpisode;
  } catch (error) {
    throw new Error(`Line ${number} is no JSON: ${(error as Error).message}`);
  }
  if (raw?.version !== 1 || !Array.isArray(raw.turns)) {
    throw new Error(`Line ${number} is no episode of a recording (version 1).`);
  }
  const { episode, episode_id: episodeId, length, ended, seed, error } = raw;
  return { episode, episodeId, length, return: Number(raw.return), ended, seed, error, raw };
}

/** An episode as entries: what each action led to stands beside it. */
export function traceOf({ raw }: Episode): Trace {
  const trace = new Trace();
  const observations = [...raw.turns.map((turn) => turn.observation), raw.final_observation];
  trace.add({
    kind: "reset",
    at: null,
    action: null,
    observation: fromJson(observations[0] ?? null),
    reward: null,
    done: false,
    truncated: false,
    latencyS: raw.reset_latency_s ?? null,
    options: raw.seed === undefined ? undefined : { seed: raw.seed },
  });
  raw.turns.forEach((turn, index) => {
    trace.add({
      kind: "step",
      at: null,
      action: fromJson(turn.action),
      observation: fromJson(observations[index + 1] ?? null),
      reward: turn.reward === null ? null : Number(turn.reward),
      done: turn.done,
      truncated: turn.truncated,
      metadata: turn.metadata,
      latencyS: turn.latency_s ?? null,
    });
  });
  return trace;
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
  const steps = entries.filter((entry) => entry.kind === "step");
  const last = entries.at(-1)!;
  const first = begun ? 0 : -1;
  const turns = steps.map((entry, index) => {
    return {
      observation: entries[first + index]?.observation ?? null,
      action: entry.action,
      reward: entry.reward,
      done: entry.done,
      truncated: entry.truncated,
      ...(entry.metadata ? { metadata: entry.metadata } : {}),
      ...(entry.latencyS === null ? {} : { latency_s: entry.latencyS }),
    };
  });
  const seed = (begun?.options as { seed?: unknown } | undefined)?.seed;
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
