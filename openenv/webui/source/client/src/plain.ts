/** What a caller's value becomes before it is encoded, and a way through what was decoded. */

import { payloadError } from "./errors.js";
import { Tensor, bytesOf } from "./tensor.js";

/** How an encoding says what JSON and MessagePack say differently. */
export interface Leaves {
  number(value: number): unknown;
  bytes(bytes: Uint8Array): unknown;
  tensor(tensor: Tensor): unknown;
}

/** The value in lists, objects and leaves. Throws PAYLOAD_ERROR for what cannot be sent. */
export function toPlain(value: unknown, leaves: Leaves): unknown {
  switch (typeof value) {
    case "number":
      return leaves.number(value);
    case "string":
    case "boolean":
    case "undefined":
      return value;
    case "object":
      return value === null ? null : objectToPlain(value, leaves);
    default:
      throw payloadError(`a ${typeof value} cannot be sent`);
  }
}

function objectToPlain(value: object, leaves: Leaves): unknown {
  if (Array.isArray(value)) return value.map((item) => toPlain(item ?? null, leaves));
  if (value instanceof Tensor) return leaves.tensor(value);
  if (value instanceof Uint8Array) return leaves.bytes(value);
  if (value instanceof ArrayBuffer) return leaves.bytes(new Uint8Array(value));
  if (value instanceof DataView) return leaves.bytes(bytesOf(value));
  if (ArrayBuffer.isView(value)) return leaves.tensor(new Tensor(value as Float32Array));
  if ("toJSON" in value && typeof value.toJSON === "function") return toPlain(value.toJSON(), leaves);
  if (Symbol.iterator in value || "then" in value) {
    throw payloadError(`a ${value.constructor.name} cannot be sent: make it a list or an object`);
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, toPlain(item, leaves)]),
  );
}

/**
 * The decoded value with each object replaced for which `replace` returns something. Changes lists
 * and objects in place: nobody else has them yet.
 */
export function walk(value: unknown, replace: (object: object) => unknown): unknown {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  const replacement = replace(value);
  if (replacement !== undefined) return replacement;
  if (value instanceof Tensor) return value;
  const items = value as Record<string, unknown>;
  for (const key of Object.keys(items)) items[key] = walk(items[key], replace);
  return value;
}
