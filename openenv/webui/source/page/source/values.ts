// Values as the wire knows them: JSON, and arrays of numbers and bytes between.

import { Tensor } from "openenv";

export { Tensor };

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !isBinary(value);

export const isBinary = (value: unknown): value is Tensor | Uint8Array =>
  value instanceof Tensor || value instanceof Uint8Array;

/** What follows below a value, by key; nothing below arrays of numbers, which are leaves. */
export function children(value: unknown): [string | number, unknown][] {
  if (Array.isArray(value)) return value.map((element, index) => [index, element]);
  return isRecord(value) ? Object.entries(value) : [];
}

/** Shorter texts are names and words. */
const LONG_TEXT = 1000;

/** Bytes in arrays of numbers and in long texts, such as pictures in base64, at any depth. */
export function bytesOf(value: unknown): number {
  if (value instanceof Tensor) return value.data.byteLength;
  if (value instanceof Uint8Array) return value.byteLength;
  if (typeof value === "string") return value.length > LONG_TEXT ? value.length : 0;
  return children(value).reduce((sum, [, child]) => sum + bytesOf(child), 0);
}

/** The same with null in place of arrays of numbers and long texts. */
export function lightened(value: unknown): unknown {
  if (isBinary(value) || (typeof value === "string" && value.length > LONG_TEXT)) return null;
  if (Array.isArray(value)) return value.map(lightened);
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, lightened(one)]));
}

/** A value in a line of text, for lists and filters. */
export function brief(value: unknown, limit = 120): string {
  const text = typeof value === "string" ? value : line(value, limit * 2);
  const flat = text.replace(/\s+/g, " ").trim();
  return flat.length > limit ? `${flat.slice(0, limit - 1)}…` : flat;
}

function line(value: unknown, limit: number): string {
  if (value instanceof Tensor) return `array ${value.shape.join(" × ")}`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return `[${joined(value.map((one) => [one]), limit)}]`;
  if (!isRecord(value)) return JSON.stringify(value) ?? "";
  const parts = Object.entries(value).map(([key, one]): [unknown, string] => [one, `${key}: `]);
  return joined(parts, limit);
}

function joined(parts: [unknown, string?][], limit: number): string {
  let text = "";
  for (const [value, prefix = ""] of parts) {
    if (text.length > limit) break;
    text += (text && ", ") + prefix + line(value, limit - text.length);
  }
  return text;
}

export function readable(number: number, digits = 4): string {
  if (!Number.isFinite(number)) return String(number);
  const rounded = Number(number.toPrecision(digits));
  const isLarge = Math.abs(rounded) >= 10_000;
  return isLarge ? number.toLocaleString("en", { maximumFractionDigits: 0 }) : String(rounded);
}

export function duration(seconds: number): string {
  if (seconds < 0.0995) return `${readable(seconds * 1000, 2)} ms`;
  if (seconds < 60) return `${readable(seconds, 2)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
