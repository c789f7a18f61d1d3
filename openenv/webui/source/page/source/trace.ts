// What has happened so far: the entries that logs, plots and replay show. Played, watched or read.

import { computed, signal } from "@preact/signals";
import { bytesOf, lightened } from "./values";

export interface Result {
  observation: unknown;
  reward: number | boolean | null;
  done: boolean;
  truncated: boolean;
  metadata?: unknown;
}

export interface Entry extends Result {
  kind: "reset" | "step";
  /** Milliseconds since 1970; null where nobody noted it. */
  at: number | null;
  /** The number of the step in its episode; 0 for a reset. */
  step: number;
  action: unknown;
  latencyS: number | null;
  /** All rewards of the episode so far. */
  total: number;
  /** The seed or other options of a reset. */
  options?: unknown;
  /** Its arrays and long texts were let go, as there were too many. */
  isPruned?: boolean;
}

/** Pictures of a long game would fill the memory: the older ones are let go beyond this. */
const MAX_LARGE_BYTES = 256 * 2 ** 20;

export class Trace {
  readonly entries: Entry[] = [];
  /** Changes with every entry. `entries` itself stays the same list, as it may become long. */
  readonly length = signal(0);
  /** The entry that is looked at; null follows the newest. */
  readonly chosen = signal<number | null>(null);
  readonly shown = computed(() => {
    const newest = this.length.value - 1;
    return Math.min(this.chosen.value ?? newest, newest);
  });
  /** Steps are missing, as a spectator may not see all: this is no recording of what happened. */
  hasGaps = false;
  private largeBytes = 0;
  private oldestWhole = 0;

  /** Without `isPruned`, what is large is neither counted nor let go: they are read from elsewhere. */
  constructor(private readonly isPruned = true) {}

  get last(): Entry | undefined {
    return this.entries.at(-1);
  }

  add(entry: Omit<Entry, "total" | "step"> & { step?: number; total?: number }): Entry {
    const before = entry.kind === "reset" ? undefined : this.last;
    const total = entry.total ?? (before?.total ?? 0) + Number(entry.reward ?? 0);
    const step = entry.step ?? (entry.kind === "reset" ? 0 : (before?.step ?? 0) + 1);
    if (step !== (before ? before.step + 1 : 0) && (before || entry.kind === "reset")) this.hasGaps = true;
    // Not a copy: the observation may be decoded only when somebody looks at it.
    const whole = Object.assign(entry, { step, total });
    this.entries.push(whole);
    if (this.isPruned) this.prune(whole);
    this.length.value = this.entries.length;
    return whole;
  }

  /** The entries of the episode that the given one belongs to. */
  episodeOf(index: number): Entry[] {
    let start = Math.max(index, 0);
    while (start > 0 && this.entries[start]?.kind !== "reset") start--;
    let end = index + 1;
    while (end < this.entries.length && this.entries[end]?.kind !== "reset") end++;
    return this.entries.slice(start, end);
  }

  private prune(newest: Entry): void {
    this.largeBytes += bytesOf(newest.observation);
    while (this.largeBytes > MAX_LARGE_BYTES && this.oldestWhole < this.entries.length - 1) {
      const entry = this.entries[this.oldestWhole++]!;
      const bytes = bytesOf(entry.observation);
      if (!bytes) continue;
      this.largeBytes -= bytes;
      entry.observation = lightened(entry.observation);
      entry.isPruned = true;
    }
  }
}
