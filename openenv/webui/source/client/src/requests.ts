/** Requests: what waits for replies on one link, until when, and what else the server sends. */

import { OpenEnvError } from "./errors.js";
import type { ErrorFrame, ServerFrame } from "./frames.js";

export interface Asking {
  /** No reply within this time: the request is given up. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  onPartial?: ((frame: ServerFrame) => void) | undefined;
}

// A longer one would fire at once.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Pending {
  session: number;
  kind: string;
  settle(reply: ServerFrame | OpenEnvError): void;
  onPartial: ((frame: ServerFrame) => void) | undefined;
}

export class Requests {
  private readonly pending = new Map<number, Pending>();

  /** `cancel` lets the server forget a request too. */
  constructor(private readonly cancel: (id: number, session: number) => void) {}

  /** Wait for the reply to a request that is about to be sent. */
  wait(id: number, session: number, kind: string, asking: Asking): Promise<ServerFrame> {
    return new Promise((resolve, reject) => {
      const { signal, timeoutMs, onPartial } = asking;
      const late = () => this.giveUp(id, requestTimeout());
      const abort = () => this.giveUp(id, givenUp());
      const timer = setTimeout(late, Math.min(timeoutMs, LONGEST_TIMER_MS));
      signal?.addEventListener("abort", abort, { once: true });
      const settle = (reply: ServerFrame | OpenEnvError): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.pending.delete(id);
        if (reply instanceof OpenEnvError) reject(reply);
        else if (reply.kind === "error") reject(errorOf(reply));
        else resolve(reply);
      };
      this.pending.set(id, { session, kind, settle, onPartial });
    });
  }

  /** Take a frame that answers a request. A late reply is dropped by its id. */
  take(frame: ServerFrame & { id: number }): void {
    const entry = this.pending.get(frame.id);
    if (frame.kind === "partial") entry?.onPartial?.(frame);
    else entry?.settle(frame);
  }

  /** Let the requests of a session fail, or all. */
  fail(error: OpenEnvError, session?: number): void {
    for (const entry of [...this.pending.values()]) {
      if (session === undefined || entry.session === session) entry.settle(error);
    }
  }

  /** What has no reply yet. */
  list(): { id: number; session: number; kind: string }[] {
    return [...this.pending].map(([id, { session, kind }]) => ({ id, session, kind }));
  }

  private giveUp(id: number, error: OpenEnvError): void {
    const entry = this.pending.get(id);
    if (!entry) return;
    entry.settle(error);
    this.cancel(id, entry.session);
  }
}

export function errorOf({ code, message, retryable, details }: ErrorFrame): OpenEnvError {
  return new OpenEnvError(code, message, { retryable, details });
}

export function givenUp(): OpenEnvError {
  return new OpenEnvError("CANCELLED", "given up by its caller");
}

function requestTimeout(): OpenEnvError {
  return new OpenEnvError(
    "REQUEST_TIMEOUT",
    "no reply in time; whether the request ran is unknown: reset or close the session",
  );
}
