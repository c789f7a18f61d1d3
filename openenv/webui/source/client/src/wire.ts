/** The two encodings: frames to the text or bytes of messages, and back. */

import { type DecodeError, ExtData, decode, decodeMulti, encode } from "@msgpack/msgpack";
import { fromBase64, toBase64 } from "./base64.js";
import { asOpenEnvError, payloadError, protocolError } from "./errors.js";
import { type Hello, type ServerFrame, readFrame, readReply } from "./frames.js";
import { type Leaves, toPlain, walk } from "./plain.js";
import { Tensor, fromBytes, sizeBytes, toBytes } from "./tensor.js";

export type Data = string | Uint8Array<ArrayBuffer>;

export interface Message {
  acknowledgement: number;
  frames: ServerFrame[];
}

/** One encoding; a single instance serves all links that speak it. */
export interface Wire {
  readonly subprotocol: string;
  readonly encoding: "json" | "msgpack";
  /** One frame, or a hello. Throws PAYLOAD_ERROR. */
  encode(frame: readonly unknown[]): Data;
  /** The message of frames that are encoded already. */
  join(acknowledgement: number, frames: readonly Data[]): Data;
  /** Throws PROTOCOL_ERROR for what is no message. */
  decode(data: unknown): Message;
  decodeHello(data: unknown): Hello;
}

/** How many bytes a message has on a socket, where text is UTF-8. */
export function bytesIn(data: Data): number {
  if (typeof data !== "string") return data.length;
  // Encoding costs a copy: not for what cannot be near any limit.
  return data.length < 256 ? data.length * 3 : new TextEncoder().encode(data).length;
}

function split(message: unknown): [number, unknown[]] {
  const isMessage =
    Array.isArray(message) &&
    message.length === 2 &&
    Number.isSafeInteger(message[0]) &&
    Array.isArray(message[1]);
  if (!isMessage) throw protocolError("a message must be [acknowledgement, [frame, ...]]");
  return message as [number, unknown[]];
}

function checkHello(frame: ServerFrame): Hello {
  if (frame.kind !== "hello") throw protocolError("the first message must be a hello frame");
  return frame;
}

/** Whatever is wrong with a caller's value, such as one that holds itself, is an error of ours. */
function encodable<T extends Data>(encodeIt: () => T): T {
  try {
    return encodeIt();
  } catch (thrown) {
    throw asOpenEnvError(thrown, (why) => payloadError(`the value cannot be encoded: ${why}`));
  }
}

// ---- JSON

const EXTENSION_KEYS = ["__array__", "dtype", "shape"];

const JSON_LEAVES: Leaves = {
  number: (value) => (Number.isFinite(value) ? value : String(value)),
  bytes: toBase64,
  tensor: (tensor) => ({
    __array__: toBase64(toBytes(tensor)),
    dtype: tensor.dtype,
    shape: tensor.shape,
  }),
};

/** Put tensors where JSON has objects that stand for them. */
function revive(value: unknown): unknown {
  return walk(value, (object) => {
    const keys = Object.keys(object);
    if (keys.length !== 3 || !EXTENSION_KEYS.every((key) => keys.includes(key))) return undefined;
    const { __array__: base64, dtype, shape } = object as Record<string, unknown>;
    return fromBytes(dtype, shape, fromBase64(base64));
  });
}

/** The value as JSON data, in the way of `openenv.v1.json` and of recordings. Throws PAYLOAD_ERROR. */
export const toJson = (value: unknown): unknown => toPlain(value, JSON_LEAVES);

/** JSON data with its arrays as tensors again. Changes it in place. Throws PAYLOAD_ERROR. */
export const fromJson = (data: unknown): unknown => revive(data);

function parse(data: unknown): unknown {
  if (typeof data !== "string") throw protocolError("openenv.v1.json carries text messages only");
  try {
    return JSON.parse(data);
  } catch (error) {
    throw protocolError(`the message is no JSON: ${(error as Error).message}`);
  }
}

export const JSON_WIRE: Wire = {
  subprotocol: "openenv.v1.json",
  encoding: "json",
  encode: (frame) => encodable(() => JSON.stringify(toPlain(frame, JSON_LEAVES))),
  join: (acknowledgement, frames) => `[${acknowledgement},[${frames.join(",")}]]`,
  decode(data) {
    const [acknowledgement, frames] = split(parse(data));
    return { acknowledgement, frames: frames.map((frame) => readReply(frame, revive)) };
  },
  decodeHello: (data) => checkHello(readFrame(parse(data), (value) => value)),
};

// ---- MessagePack

const EXTENSION = 1;

/** In place of an extension that cannot be read: it must cost its own frame only. */
class Unreadable {
  constructor(readonly error: Error) {}
}

function readExtension(data: Uint8Array, type: number): Tensor {
  if (type !== EXTENSION) throw protocolError(`the extension type ${type} is unknown`);
  const [dtype, shape] = [...decodeMulti(data.slice()).next().value as unknown[]];
  const start = data.length - sizeBytes(dtype, shape);
  if (start < 0) throw payloadError("an array has fewer bytes than its shape says");
  // It throws unless what precedes the elements is exactly [dtype, shape].
  decode(data.subarray(0, start));
  return fromBytes(dtype, shape, data.subarray(start));
}

function refuseUnreadable(value: unknown): unknown {
  return walk(value, (object) => {
    if (object instanceof Unreadable) throw asOpenEnvError(object.error, payloadError);
    return undefined;
  });
}

const MSGPACK_LEAVES: Leaves = {
  number: (value) => value,
  bytes: (bytes) => bytes,
  tensor: (tensor) => {
    const head = encode([tensor.dtype, tensor.shape]);
    return new ExtData(EXTENSION, concatenate([head, toBytes(tensor)]));
  },
};

const ENCODING = {
  extensionCodec: {
    tryToEncode: (object: unknown) => (object instanceof ExtData ? object : null),
    decode: () => null,
  },
  ignoreUndefined: true,
  maxDepth: 1000,
};

/** Decode bytes; the second is whether an extension in them is unreadable. */
function unpack(data: unknown): [unknown, boolean] {
  if (!(data instanceof Uint8Array)) {
    throw protocolError("openenv.v1.msgpack carries binary messages only");
  }
  let hasUnreadable = false;
  const extensionCodec = {
    tryToEncode: () => null,
    decode(bytes: Uint8Array, type: number): unknown {
      try {
        return readExtension(bytes, type);
      } catch (error) {
        hasUnreadable = true;
        return new Unreadable(error as Error);
      }
    },
  };
  try {
    return [decode(data, { extensionCodec }), hasUnreadable];
  } catch (error) {
    throw protocolError(`the message is no MessagePack: ${(error as DecodeError).message}`);
  }
}

export const MSGPACK_WIRE: Wire = {
  subprotocol: "openenv.v1.msgpack",
  encoding: "msgpack",
  encode: (frame) => encodable(() => encode(toPlain(frame, MSGPACK_LEAVES), ENCODING)),
  join: (acknowledgement, frames) =>
    concatenate([
      Uint8Array.of(0x92),
      encode(acknowledgement),
      arrayHeader(frames.length),
      ...(frames as Uint8Array[]),
    ]),
  decode(data) {
    const [message, hasUnreadable] = unpack(data);
    const [acknowledgement, frames] = split(message);
    const read = hasUnreadable ? refuseUnreadable : (value: unknown) => value;
    return { acknowledgement, frames: frames.map((frame) => readReply(frame, read)) };
  },
  decodeHello: (data) => checkHello(readFrame(unpack(data)[0], (value) => value)),
};

function arrayHeader(length: number): Uint8Array {
  if (length < 16) return Uint8Array.of(0x90 | length);
  if (length < 0x10000) return Uint8Array.of(0xdc, length >> 8, length & 255);
  return Uint8Array.of(0xdd, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** By subprotocol, best first. */
export const WIRES: ReadonlyMap<string, Wire> = new Map(
  [MSGPACK_WIRE, JSON_WIRE].map((wire) => [wire.subprotocol, wire]),
);
