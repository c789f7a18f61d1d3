/**
 * The numbers of a link: each message arrives once, in order, over as many sockets as it takes.
 *
 * Both sides count messages from 1 in each direction, and keep what they sent until the other side
 * has acknowledged it. Whatever counts stands here; what is in a message is unknown here.
 */

import { protocolError } from "./errors.js";
import { type Hello, MIN_MESSAGE_BYTES, VERSION } from "./frames.js";
import type { Data } from "./wire.js";

export class Numbers {
  /** Number of the last message sent. */
  sent = 0;
  /** Number of the last message received. */
  received = 0;
  /** Number up to which the server has said that it received ours. */
  acknowledged = 0;
  /** Number up to which the server was told that we received its messages. */
  announced = 0;
  /** What the server has not acknowledged, oldest first. */
  kept: Data[] = [];

  get owesAcknowledgement(): boolean {
    return this.announced < this.received;
  }

  /** Number a message that is about to be sent. */
  keep(message: Data): void {
    this.sent += 1;
    this.announced = this.received;
    this.kept.push(message);
  }

  /** Forget what the server has received. A message that is sent again has an old number, which is no error. */
  acknowledge(number: number): void {
    if (number > this.sent || number < 0) {
      throw protocolError(`message ${number} was acknowledged, but only ${this.sent} were sent`);
    }
    if (number <= this.acknowledged) return;
    this.kept.splice(0, number - this.acknowledged);
    this.acknowledged = number;
  }

  /** The acknowledgement to put into the next message. */
  announce(): number {
    this.announced = this.received;
    return this.received;
  }

  /**
   * Take the server's hello for the link of this token, null for a new one. True if it goes on:
   * then send again what is kept. False if the server does not know it any more.
   */
  attach(hello: Hello, token: string | null): boolean {
    checkHello(hello);
    if (hello.resumed) {
      if (hello.token !== token || hello.received < this.acknowledged || hello.received > this.sent) {
        throw protocolError("the server resumes a link that is not this one");
      }
      // What was announced may be lost with the socket; our hello has announced it anew.
      this.announced = this.received;
      this.acknowledge(hello.received);
      return true;
    }
    if (token === null && hello.received > 0) {
      throw protocolError("the server has received messages on a link that is new");
    }
    return token === null;
  }
}

function checkHello(hello: Hello): void {
  if (hello.version !== VERSION) {
    throw protocolError(`the server speaks version ${hello.version} of the protocol, not ${VERSION}`);
  }
  if (hello.received < 0 || hello.max_message_bytes < MIN_MESSAGE_BYTES) {
    throw protocolError(`hello: received must be >= 0, max_message_bytes >= ${MIN_MESSAGE_BYTES}`);
  }
}
