/** Session: the life of one environment on the server, from open to close. */

import { OpenEnvError } from "./errors.js";
import type { Observation, Result, ServerFrame } from "./frames.js";
import { type Asking, givenUp } from "./requests.js";

/** How the link sends a session's requests. */
export interface Asks {
  (kind: string, session: number, fields: unknown[], asking: Asking): Promise<ServerFrame>;
}

export interface RequestOptions {
  /** Gives the request up. The session then needs a reset, unless it waited or read the state. */
  signal?: AbortSignal;
}

export interface StepOptions<O = Observation> extends RequestOptions {
  /** The environment's deadline for this step. */
  timeoutS?: number;
  /** Is told the observations before the last, if the environment sends any. */
  onPartial?: (result: Result<O>) => void;
}

export interface ResetOptions {
  seed?: number | null;
  episode_id?: string | null;
  /** Further arguments of the environment's reset. */
  [option: string]: unknown;
}

/** A request whose reply the page before a reload did not see. */
export interface Unanswered {
  kind: "reset" | "step" | "state";
  reply: Promise<any>;
}

const PATIENCE_MS = 60_000;
const MARGIN_MS = 5_000;

export class Session<O = Observation, A = any, S = any> {
  /** Resolves with the reason when the session has ended, whoever ended it. It never rejects. */
  readonly closed: Promise<string>;
  /** After `connect` with `resumeFrom`: what was asked before and not answered. */
  unanswered: Unanswered[] = [];
  private ended: string | null = null;
  private resolveClosed!: (reason: string) => void;

  constructor(
    private readonly ask: Asks,
    /** The link's number for the session. */
    readonly number: number,
    /** Names the session on every transport. It is a secret: whoever knows it may act. */
    readonly token: string,
    readonly label: string | null,
  ) {
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
  }

  get isOpen(): boolean {
    return this.ended === null;
  }

  /** Begin an episode. */
  async reset(options: ResetOptions = {}, { signal }: RequestOptions = {}): Promise<Result<O>> {
    const { seed = null, episode_id = null, ...others } = options;
    const further = Object.keys(others).length ? others : null;
    return this.result("reset", [seed, episode_id, further], { timeoutMs: PATIENCE_MS, signal });
  }

  /** Apply an action. */
  async step(action: A, options: StepOptions<O> = {}): Promise<Result<O>> {
    const { timeoutS = null, signal, onPartial } = options;
    return this.result("step", [action, timeoutS, onPartial !== undefined], {
      timeoutMs: timeoutS === null ? PATIENCE_MS : timeoutS * 1000 + MARGIN_MS,
      signal,
      onPartial: onPartial && ((frame) => onPartial(resultOf(frame))),
    });
  }

  /** Ask for the episode's state. */
  async state({ signal }: RequestOptions = {}): Promise<S> {
    const reply = await this.request("state", [], { timeoutMs: PATIENCE_MS, signal });
    return (reply as ServerFrame & { kind: "state" }).state;
  }

  /** End the session; again is no error. */
  async close(): Promise<void> {
    if (this.ended !== null) return;
    const reply = this.request("close", [], { timeoutMs: PATIENCE_MS });
    this.end("closed");
    await reply;
  }

  /** The session is gone; the link calls this. */
  end(reason: string): void {
    this.ended ??= reason;
    this.resolveClosed(reason);
  }

  private async result(kind: string, fields: unknown[], asking: Asking): Promise<Result<O>> {
    return resultOf(await this.request(kind, fields, asking));
  }

  private async request(kind: string, fields: unknown[], asking: Asking): Promise<ServerFrame> {
    if (this.ended !== null) {
      throw new OpenEnvError("SESSION_EXPIRED", `the session has ended: ${this.ended}`, {
        details: { reason: this.ended },
      });
    }
    // Not asked at all: what was given up before must not run.
    if (asking.signal?.aborted) throw givenUp();
    return this.ask(kind, this.number, fields, asking);
  }
}

/** What a caller gets of a frame. */
export function resultOf(frame: ServerFrame): Result {
  const { observation, reward, done, truncated, metadata } = frame as ServerFrame & Result;
  return { observation, reward, done, truncated, metadata };
}
