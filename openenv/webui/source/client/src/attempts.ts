/** When to try again after a lost socket, and when to stop. */

import type { Numbers } from "./numbers.js";

const BASE_MS = 50;
const CAP_MS = 2000;

/** Sockets without progress share the server's grace and the growing pause. */
export class Attempts {
  private progress = "";
  private giveUpAt = 0;
  private count = 0;
  private wake: (() => void) | null = null;

  begin(numbers: Numbers, graceS: number): void {
    const progress = `${numbers.acknowledged} ${numbers.received}`;
    if (progress === this.progress) return;
    this.progress = progress;
    this.giveUpAt = Date.now() + graceS * 1000;
    this.count = 0;
  }

  /** Wait before the next attempt; false if there must be none. */
  async wait(): Promise<boolean> {
    const leftMs = this.giveUpAt - Date.now();
    if (leftMs <= 0) return false;
    // Any time up to the limit, so that the clients of a server do not come back in step.
    const pauseMs = Math.random() * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(this.count, 16));
    this.count += 1;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(leftMs, pauseMs));
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = null;
    return true;
  }

  /** Do not wait any longer. */
  hurry(): void {
    this.wake?.();
  }
}
