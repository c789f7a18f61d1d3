// The sessions that spectators see, as they change; and the one that is followed, as a trace.

import { computed, signal } from "@preact/signals";
import { OpenEnvError, type Link, type Summary, type WatchEvent, type WatchOptions } from "openenv";
import { Trace } from "../trace";

/** A wall is looked at as a whole: it need not be as smooth as what is followed. */
const WALL_FRAMES_PER_S = 10;
/** Whoever looks on for hours sees the history begin anew. */
const MAX_ENTRIES = 10_000;

export class Watching {
  readonly sessions = signal<ReadonlyMap<string, Summary>>(new Map());
  readonly problem = signal<string | null>(null);
  readonly hasAnswered = signal(false);
  readonly followed = signal<string | null>(null);
  readonly trace = signal(new Trace());
  readonly hasEnded = signal(false);
  /** In a stable order: a wall on which everything moves about cannot be read. */
  readonly sorted = computed(() =>
    [...this.sessions.value.values()].sort((one, other) => keyOf(one).localeCompare(keyOf(other), "en", { numeric: true })),
  );
  private stops: (() => void)[] = [];

  constructor(private readonly link: Link) {}

  /** See all sessions, until `stop`. */
  start(): void {
    this.watch({ framesPerS: WALL_FRAMES_PER_S }, (summaries, ended) => {
      const sessions = new Map(this.sessions.value);
      for (const summary of summaries) sessions.set(summary.session, summary);
      for (const id of ended) sessions.delete(id);
      this.sessions.value = sessions;
      this.hasAnswered.value = true;
    });
  }

  /** Follow one session closely. */
  follow(session: string): void {
    this.leave();
    this.followed.value = session;
    this.watch({ sessions: [session] }, (summaries, ended) => {
      for (const summary of summaries) this.note(summary);
      if (ended.includes(session)) this.hasEnded.value = true;
    });
  }

  /** Back to the wall. */
  leave(): void {
    for (const stop of this.stops.splice(1)) stop();
    this.followed.value = null;
    this.hasEnded.value = false;
    this.trace.value = new Trace();
  }

  stop(): void {
    for (const stop of this.stops.splice(0)) stop();
  }

  private watch(options: WatchOptions, take: (summaries: Summary[], ended: string[]) => void): void {
    let events: AsyncIterableIterator<WatchEvent> | null = null;
    this.stops.push(() => void events?.return?.());
    const read = async (): Promise<void> => {
      try {
        events = this.link.watch(options);
        for await (const { sessions, ended } of events) take(sessions, ended);
      } catch (error) {
        const isRestarted = error instanceof OpenEnvError && error.code === "CONNECTION_LOST";
        if (!isRestarted || this.link.state === "closed") throw error;
        // The server knows nothing any more, and shows what it has now.
        this.sessions.value = new Map();
        return read();
      }
    };
    read().catch((error: Error) => (this.problem.value = error.message));
  }

  /** Steps that were skipped are no entries: a spectator sees the newest. */
  private note(summary: Summary): void {
    const { step, reward, done, truncated, total_reward: total, action, observation, metadata, episode } = summary;
    const last = this.trace.value.last;
    const isSame = last !== undefined && last.options === episode && last.step === step;
    if (isSame || (step === 0 && observation === null)) return;
    if (this.trace.value.entries.length >= MAX_ENTRIES) this.trace.value = new Trace();
    const kind = step === 0 || last === undefined || last.options !== episode ? "reset" : "step";
    this.trace.value.add({
      kind,
      at: Date.now(),
      step,
      total: total ?? NaN,
      action: action ?? null,
      observation,
      reward,
      done,
      truncated,
      metadata,
      latencyS: null,
      options: episode,
    });
  }
}

const keyOf = ({ label, session }: Summary) => `${label ?? "~"} ${session}`;
