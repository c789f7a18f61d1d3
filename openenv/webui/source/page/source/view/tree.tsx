// A value as a tree that can be folded. What has changed since the step before is marked.

import { useState } from "preact/hooks";
import { brief, children, isBinary, readable, Tensor } from "../values";

const MAX_SHOWN = 100;
const LONG_TEXT = 400;

interface NodeProps {
  name?: string | number;
  value: unknown;
  path: string;
  /** Paths that are marked, as `diff` names them. */
  marked: ReadonlySet<string>;
  depth?: number;
}

export function Tree({ value, marked, label }: {
  value: unknown;
  marked?: ReadonlySet<string>;
  label: string;
}) {
  return (
    <div class="tree" role="group" aria-label={label}>
      <Node value={value} path="" marked={marked ?? NONE} />
    </div>
  );
}

const NONE: ReadonlySet<string> = new Set();

function Node({ name, value, path, marked, depth = 0 }: NodeProps) {
  const below = children(value);
  const isRow = Array.isArray(value) && value.every((one) => typeof one !== "object" || one === null);
  if (isBinary(value) || below.length === 0 || isRow) {
    return <Leaf name={name} value={value} isMarked={marked.has(path) || hasMarkBelow(marked, path)} />;
  }
  const nodes = <Branch below={below} isList={Array.isArray(value)} {...{ path, marked, depth }} />;
  if (name === undefined) return nodes;
  return (
    <details open={depth < 3 && below.length <= 30}>
      <summary>
        <span class="key">{name}</span>
        <span class="size">{Array.isArray(value) ? `${below.length} items` : `{${below.length}}`}</span>
      </summary>
      {nodes}
    </details>
  );
}

function Branch({ below, isList, path, marked, depth }: {
  below: [string | number, unknown][];
  isList: boolean;
  path: string;
  marked: ReadonlySet<string>;
  depth: number;
}) {
  const [limit, setLimit] = useState(MAX_SHOWN);
  const at = (key: string | number) => (isList ? `${path}[${key}]` : path ? `${path}.${key}` : `${key}`);
  return (
    <ul>
      {below.slice(0, limit).map(([key, child]) => (
        <li key={key}>
          <Node name={key} value={child} path={at(key)} marked={marked} depth={depth + 1} />
        </li>
      ))}
      {below.length > limit && (
        <li>
          <button type="button" class="small quiet" onClick={() => setLimit(limit * 10)}>
            {below.length - limit} more
          </button>
        </li>
      )}
    </ul>
  );
}

const hasMarkBelow = (marked: ReadonlySet<string>, path: string) =>
  [...marked].some((one) => one.startsWith(`${path}[`));

function Leaf({ name, value, isMarked }: { name?: string | number; value: unknown; isMarked: boolean }) {
  return (
    <div class={`leaf${isMarked ? " is-marked" : ""}`}>
      {name !== undefined && <span class="key">{name}</span>}
      <Value value={value} />
      {isMarked && <span class="hidden"> (changed)</span>}
    </div>
  );
}

function Value({ value }: { value: unknown }) {
  const [isWhole, setWhole] = useState(false);
  if (value instanceof Tensor) return <TensorValue tensor={value} />;
  if (value instanceof Uint8Array) return <span class="value">{value.length} bytes</span>;
  if (typeof value === "string") {
    const isLong = value.length > LONG_TEXT && !isWhole;
    return (
      <span class={`value string${value.includes("\n") ? " lines" : ""}`}>
        {isLong ? value.slice(0, LONG_TEXT) : value}
        {value === "" && <i>empty</i>}
        {isLong && (
          <button type="button" class="small quiet" onClick={() => setWhole(true)}>
            … {value.length - LONG_TEXT} more characters
          </button>
        )}
      </span>
    );
  }
  if (Array.isArray(value)) return <RowValue row={value} />;
  if (typeof value === "object" && value !== null) return <span class="value empty">{"{ }"}</span>;
  return <span class={`value ${value === null ? "null" : typeof value}`}>{String(value)}</span>;
}

/** A list of plain values in one paragraph. */
function RowValue({ row }: { row: unknown[] }) {
  const [limit, setLimit] = useState(40);
  const shown = row.slice(0, limit).map((one) => (typeof one === "number" ? readable(one, 6) : brief(one)));
  return (
    <span class="value list">
      [{shown.join(", ")}
      {row.length > limit && (
        <button type="button" class="small quiet" onClick={() => setLimit(Infinity)}>
          … {row.length - limit} more
        </button>
      )}
      ]
    </span>
  );
}

function TensorValue({ tensor }: { tensor: Tensor }) {
  const start = Array.from(tensor.data.subarray(0, 8) as ArrayLike<number | bigint>, Number);
  const numbers = start.map((one) => readable(one)).join(", ");
  return (
    <span class="value array">
      {tensor.shape.join(" × ")} {tensor.dtype} [{numbers}
      {tensor.data.length > 8 && ", …"}]
    </span>
  );
}
