/** Outbox: frames that became ready together leave in one message, up to 64 KiB. */

import { OpenEnvError } from "./errors.js";
import { COALESCE_BYTES } from "./frames.js";
import { type Data, type Wire, bytesIn } from "./wire.js";

// What a message has besides its frames, at most.
const ENVELOPE_BYTES = 32;

export class Outbox {
  private frames: Data[] = [];
  private isScheduled = false;

  /** `send` numbers a group of frames and puts it on its way. */
  constructor(
    private readonly wire: Wire,
    private readonly send: (frames: Data[]) => void,
  ) {}

  /** Throws PAYLOAD_ERROR, PAYLOAD_TOO_LARGE; then nothing is sent. */
  push(frame: readonly unknown[], limitBytes: number): void {
    const data = this.wire.encode(frame);
    const size = bytesIn(data) + ENVELOPE_BYTES;
    if (size > limitBytes) {
      throw new OpenEnvError(
        "PAYLOAD_TOO_LARGE",
        `a ${frame[0]} of ${size} bytes, but the server takes ${limitBytes}`,
        { details: { limit_bytes: limitBytes } },
      );
    }
    this.frames.push(data);
    if (this.isScheduled) return;
    this.isScheduled = true;
    queueMicrotask(() => this.flush());
  }

  /** Send what is ready now. */
  flush(): void {
    this.isScheduled = false;
    let group: Data[] = [];
    let size = ENVELOPE_BYTES;
    const { frames } = this;
    this.frames = [];
    for (const frame of frames) {
      const added = bytesIn(frame) + 1;
      if (group.length && size + added > COALESCE_BYTES) {
        this.send(group);
        group = [];
        size = ENVELOPE_BYTES;
      }
      group.push(frame);
      size += added;
    }
    if (group.length) this.send(group);
  }

  clear(): void {
    this.frames = [];
  }
}
