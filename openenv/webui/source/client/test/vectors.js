/** The vectors that all clients are checked with, and how to compare with them. */

import { readFileSync } from "node:fs";
import { fromBase64 } from "../dist/base64.js";
import { JSON_WIRE, MSGPACK_WIRE } from "../dist/wire.js";

export const WIRES = [JSON_WIRE, MSGPACK_WIRE];

export function vectors(name) {
  const path = new URL(`../../../../../tests/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8"));
}

/** The data of a vector in this encoding, as a socket brings it. */
export function dataOf(wire, vector) {
  return wire.encoding === "json" ? vector.json : fromHex(vector.msgpack);
}

export function fromHex(hex) {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

export function toHex(bytes) {
  return Buffer.from(bytes).toString("hex");
}

/** The message that holds a single frame. */
export function messageOf(wire, frame) {
  return wire.join(0, [frame]);
}

/** The values of a vector, in which non-finite numbers are spelled. */
export function unspell(value) {
  const spelled = { NaN, Infinity, "-Infinity": -Infinity };
  if (typeof value === "string") return value in spelled ? spelled[value] : value;
  if (Array.isArray(value)) return value.map(unspell);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unspell(item)]));
}

export { fromBase64 };
