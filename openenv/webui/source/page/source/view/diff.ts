// What has changed from one observation to the next, by path.

import { isBinary, isRecord, Tensor } from "../values";

export interface Change {
  path: string;
  kind: "added" | "removed" | "changed";
  before?: unknown;
  after?: unknown;
  /** For arrays of numbers: how many elements differ, of how many. */
  elements?: [changed: number, all: number];
}

/** Longer lists of plain values are one change, not thousands. */
const MAX_LIST = 16;

export function diff(before: unknown, after: unknown, path = ""): Change[] {
  if (Object.is(before, after)) return [];
  if (before instanceof Tensor && after instanceof Tensor) return diffTensors(before, after, path);
  if (isRecord(before) && isRecord(after)) return diffRecords(before, after, path);
  if (Array.isArray(before) && Array.isArray(after)) return diffLists(before, after, path);
  if (isBinary(before) && isBinary(after) && sameBytes(before, after)) return [];
  return [{ path, kind: "changed", before, after }];
}

function diffRecords(before: Record<string, unknown>, after: Record<string, unknown>, path: string) {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key): Change[] => {
    const at = path ? `${path}.${key}` : key;
    if (!(key in before)) return [{ path: at, kind: "added", after: after[key] }];
    if (!(key in after)) return [{ path: at, kind: "removed", before: before[key] }];
    return diff(before[key], after[key], at);
  });
}

function diffLists(before: unknown[], after: unknown[], path: string): Change[] {
  const length = Math.max(before.length, after.length);
  if (length > MAX_LIST && before.every(isLeaf) && after.every(isLeaf)) {
    let count = 0;
    for (let index = 0; index < length; index++) {
      if (index >= before.length || !Object.is(before[index], after[index])) count++;
    }
    return count ? [{ path, kind: "changed", before, after, elements: [count, length] }] : [];
  }
  const changes: Change[] = [];
  for (let index = 0; index < length; index++) {
    const at = `${path}[${index}]`;
    if (index >= before.length) changes.push({ path: at, kind: "added", after: after[index] });
    else if (index >= after.length) changes.push({ path: at, kind: "removed", before: before[index] });
    else changes.push(...diff(before[index], after[index], at));
  }
  return changes;
}

const isLeaf = (value: unknown) => typeof value !== "object" || value === null;

function diffTensors(before: Tensor, after: Tensor, path: string): Change[] {
  const all = after.data.length;
  if (before.data.length !== all || before.dtype !== after.dtype) {
    return [{ path, kind: "changed", before, after }];
  }
  let count = 0;
  for (let index = 0; index < all; index++) {
    if (!Object.is(before.data[index], after.data[index])) count++;
  }
  return count ? [{ path, kind: "changed", before, after, elements: [count, all] }] : [];
}

function sameBytes(before: Tensor | Uint8Array, after: Tensor | Uint8Array): boolean {
  if (before instanceof Tensor || after instanceof Tensor) return false;
  return before.length === after.length && before.every((byte, index) => byte === after[index]);
}
