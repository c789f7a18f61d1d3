/** Watch: what a spectator sees; whoever is slow gets the newest of each session. */

import type { OpenEnvError } from "./errors.js";
import type { Summary } from "./frames.js";

export interface WatchOptions {
  /** Only sessions of this label, or of one below it: `train` means `train/7` too. */
  label?: string | null;
  /** Only these, by their public names. */
  sessions?: string[] | null;
  /** Whether summaries have actions, observations and metadata. */
  observations?: boolean;
  /** How often to be told, at most. */
  framesPerS?: number;
}

export interface WatchEvent {
  /** At first all, later those that have changed. */
  sessions: Summary[];
  /** The public names of those that have ended. */
  ended: string[];
}

type Waiter = { resolve(next: IteratorResult<WatchEvent>): void; reject(error: unknown): void };

export class Watch implements AsyncIterableIterator<WatchEvent> {
  private readonly newest = new Map<string, Summary>();
  private readonly ended = new Set<string>();
  private hasNews = false;
  private error: OpenEnvError | null = null;
  private isOver = false;
  private waiters: Waiter[] = [];

  constructor(private readonly unwatch: () => void) {}

  /** The fields of the frame `watch` after its id. */
  fields({ label, sessions, observations, framesPerS }: WatchOptions): unknown[] {
    return [label ?? null, sessions ?? null, observations ?? true, framesPerS ?? 30];
  }

  take({ sessions, ended }: WatchEvent): void {
    this.hasNews = true;
    for (const summary of sessions) this.newest.set(summary.session, summary);
    for (const id of ended) {
      this.newest.delete(id);
      this.ended.add(id);
    }
    this.waiters.shift()?.resolve(this.event());
  }

  fail(error: OpenEnvError): void {
    const waiter = this.waiters.shift();
    if (waiter) {
      this.isOver = true;
      waiter.reject(error);
    } else {
      this.error = error;
    }
    this.finish();
  }

  async next(): Promise<IteratorResult<WatchEvent>> {
    if (this.hasNews) return this.event();
    if (this.error) {
      const { error } = this;
      this.error = null;
      this.isOver = true;
      throw error;
    }
    if (this.isOver) return { done: true, value: undefined };
    return new Promise((resolve, reject) => this.waiters.push({ resolve, reject }));
  }

  async return(): Promise<IteratorResult<WatchEvent>> {
    this.isOver = true;
    this.hasNews = false;
    this.error = null;
    this.unwatch();
    this.finish();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private event(): IteratorResult<WatchEvent> {
    const value = { sessions: [...this.newest.values()], ended: [...this.ended] };
    this.newest.clear();
    this.ended.clear();
    this.hasNews = false;
    return { done: false, value };
  }

  private finish(): void {
    for (const { resolve } of this.waiters) resolve({ done: true, value: undefined });
    this.waiters = [];
  }
}
