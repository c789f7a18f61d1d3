/** Arrays of numbers with a shape, as numpy has them, and the bytes they travel as. */

import { payloadError } from "./errors.js";
import { halvesToFloats, floatsToHalves } from "./half.js";

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Float64Array;

export type Dtype = keyof typeof DTYPES;

interface Layout {
  /** Bytes of one element on the wire. */
  readonly size: number;
  /** Numbers of `data` for one element: complex ones have two. */
  readonly parts: number;
  readonly read: (bytes: Uint8Array<ArrayBuffer>) => TypedArray;
}

function layout(
  type: { new (buffer: ArrayBuffer): TypedArray; BYTES_PER_ELEMENT: number },
  parts = 1,
): Layout {
  return { size: type.BYTES_PER_ELEMENT * parts, parts, read: (bytes) => new type(bytes.buffer) };
}

/** By numpy's names. All machines that run JavaScript are little-endian, as the wire is. */
const DTYPES = {
  "|b1": layout(Uint8Array),
  "|i1": layout(Int8Array),
  "|u1": layout(Uint8Array),
  "<i2": layout(Int16Array),
  "<u2": layout(Uint16Array),
  "<i4": layout(Int32Array),
  "<u4": layout(Uint32Array),
  "<i8": layout(BigInt64Array),
  "<u8": layout(BigUint64Array),
  "<f2": { size: 2, parts: 1, read: (bytes) => halvesToFloats(new Uint16Array(bytes.buffer)) },
  "<f4": layout(Float32Array),
  "<f8": layout(Float64Array),
  "<c8": layout(Float32Array, 2),
  "<c16": layout(Float64Array, 2),
} as const satisfies Record<string, Layout>;

const NATURAL: Record<string, Dtype> = {
  Int8Array: "|i1",
  Uint8Array: "|u1",
  Uint8ClampedArray: "|u1",
  Int16Array: "<i2",
  Uint16Array: "<u2",
  Int32Array: "<i4",
  Uint32Array: "<u4",
  BigInt64Array: "<i8",
  BigUint64Array: "<u8",
  Float32Array: "<f4",
  Float64Array: "<f8",
};

const MAX_DIMENSIONS = 15;

export type Nested = number | bigint | boolean | Nested[];

/**
 * An array of numbers. `data` holds the elements in C order: those of `<f2` as a Float32Array, those
 * of `|b1` as 0 and 1, complex ones as pairs of numbers.
 */
export class Tensor {
  readonly data: TypedArray;
  readonly shape: readonly number[];
  readonly dtype: Dtype;

  /** `shape` defaults to one dimension, `dtype` to that of the data. */
  constructor(data: TypedArray | Uint8ClampedArray, shape?: readonly number[], dtype?: Dtype) {
    const plain = data instanceof Uint8ClampedArray ? bytesOf(data) : data;
    this.dtype = dtype ?? NATURAL[data.constructor.name] ?? unknownDtype(data.constructor.name);
    const { parts } = layoutOf(this.dtype);
    this.data = plain;
    this.shape = checkShape(shape ?? [plain.length / parts]);
    if (countOf(this.shape) * parts !== plain.length) {
      throw payloadError(`${plain.length} numbers do not make an array of shape [${this.shape}]`);
    }
  }

  /** The elements as nested lists. */
  toArray(): Nested {
    const { parts } = layoutOf(this.dtype);
    let next = 0;
    const element = (): Nested => {
      const value = this.data[next] as number | bigint;
      next += parts;
      if (parts === 2) return [value, this.data[next - 1] as number];
      return this.dtype === "|b1" ? value !== 0 : value;
    };
    const nest = (dimension: number): Nested => {
      if (dimension === this.shape.length) return element();
      return Array.from({ length: this.shape[dimension] as number }, () => nest(dimension + 1));
    };
    return nest(0);
  }
}

/** The bytes of the elements as they travel. */
export function toBytes(tensor: Tensor): Uint8Array {
  if (tensor.dtype !== "<f2") return bytesOf(tensor.data);
  return bytesOf(floatsToHalves(tensor.data as Float32Array));
}

/** The tensor of these elements; `dtype` and `shape` come from the other side. */
export function fromBytes(dtype: unknown, shape: unknown, bytes: Uint8Array): Tensor {
  const { size, parts, read } = layoutOf(dtype);
  const count = countOf(checkShape(shape));
  if (bytes.length !== count * size) {
    throw payloadError(`an array of ${count} elements of ${dtype} has ${bytes.length} bytes`);
  }
  if (dtype === "|b1" && bytes.some((byte) => byte > 1)) {
    throw payloadError("an array of booleans has elements other than 0 and 1");
  }
  // A copy: the elements must begin where their type may, and keep nothing else in memory.
  const data = read(new Uint8Array(bytes));
  if (data.length !== count * parts) throw payloadError("an array has no whole elements");
  return new Tensor(data, shape as number[], dtype as Dtype);
}

/** How many bytes an array of this dtype and shape has. */
export function sizeBytes(dtype: unknown, shape: unknown): number {
  return layoutOf(dtype).size * countOf(checkShape(shape));
}

export function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function layoutOf(dtype: unknown): Layout {
  if (typeof dtype === "string" && Object.hasOwn(DTYPES, dtype)) return DTYPES[dtype as Dtype];
  return unknownDtype(dtype);
}

function unknownDtype(dtype: unknown): never {
  throw payloadError(`an array has the unknown dtype ${JSON.stringify(dtype)}`);
}

function checkShape(shape: unknown): readonly number[] {
  const isShape =
    Array.isArray(shape) &&
    shape.length <= MAX_DIMENSIONS &&
    shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  if (!isShape) throw payloadError(`an array has the impossible shape ${JSON.stringify(shape)}`);
  return shape;
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}
