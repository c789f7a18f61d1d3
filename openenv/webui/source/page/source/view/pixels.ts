// From arrays to pictures: which arrays are some, and their pixels.

import { children, isRecord, Tensor } from "../values";

export interface Pixels {
  width: number;
  height: number;
  /** Red, green, blue, opacity: a byte each. */
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

export interface Drawing {
  name: string;
  /** A picture of an array, or the address of one that is a file already. */
  pixels?: Pixels;
  url?: string;
  text?: string;
}

/** Smaller ones are tables of numbers rather than pictures. */
const MIN_SIDE = 8;

interface Layout {
  width: number;
  height: number;
  channels: number;
  /** Where the picture begins, in elements, and how far apart things lie. */
  offset: number;
  pixelStride: number;
  channelStride: number;
}

/** The pixels of an array that is a picture: H x W, with 1, 3 or 4 channels, or a stack of those. */
export function pixelsOf(tensor: Tensor): Pixels | undefined {
  if (tensor.dtype.startsWith("<c")) return undefined;
  const layout = layoutOf([...tensor.shape]);
  return layout && painted(tensor.data, layout);
}

function layoutOf(shape: number[], offset = 0): Layout | undefined {
  if (shape.length < 2 || shape.length > 4 || shape.includes(0)) return undefined;
  const [first = 0, second = 0, third = 0] = shape;
  if (shape.length === 4) return newestOf(shape);
  if (shape.length === 2) return flat(second, first, offset);
  if (isChannels(third)) {
    const strides = { pixelStride: third, channelStride: 1 };
    return checked({ width: second, height: first, channels: third, offset, ...strides });
  }
  if (isChannels(first) && first !== 4) {
    const strides = { pixelStride: 1, channelStride: second * third };
    return checked({ width: third, height: second, channels: first, offset, ...strides });
  }
  return newestOf(shape);
}

/** The last picture of a stack. */
function newestOf([count = 0, ...inner]: number[]): Layout | undefined {
  const size = inner.reduce((product, side) => product * side, 1);
  return inner.length === 2
    ? flat(inner[1]!, inner[0]!, (count - 1) * size)
    : layoutOf(inner, (count - 1) * size);
}

const flat = (width: number, height: number, offset: number) =>
  checked({ width, height, channels: 1, offset, pixelStride: 1, channelStride: 0 });

const checked = (layout: Layout) =>
  Math.min(layout.width, layout.height) >= MIN_SIDE ? layout : undefined;

const isChannels = (count: number) => count === 1 || count === 3 || count === 4;

function painted(data: Tensor["data"], layout: Layout): Pixels {
  const { width, height, channels, offset, pixelStride, channelStride } = layout;
  const rgba = new Uint8ClampedArray(width * height * 4);
  const scale = scaleOf(data);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const from = offset + pixel * pixelStride;
    for (let channel = 0; channel < 4; channel++) {
      const isGiven = channel < channels;
      const source = channels === 1 ? 0 : channel;
      const opaque = channel === 3 && channels < 4;
      rgba[pixel * 4 + channel] =
        opaque || (!isGiven && channels !== 1) ? 255 : scale(data[from + source * channelStride]!);
    }
  }
  return { width, height, rgba };
}

/** Bytes are what they are; anything else is spread over its own range. */
function scaleOf(data: Tensor["data"]): (value: number | bigint) => number {
  let low = Infinity;
  let high = -Infinity;
  for (const value of data) {
    low = Math.min(low, Number(value));
    high = Math.max(high, Number(value));
  }
  if (data instanceof Uint8Array && high > 1) return Number;
  if (low >= 0 && high <= 1) return (value) => Number(value) * 255;
  if (low >= 0 && high > 64 && high <= 255) return Number;
  const range = high - low || 1;
  return (value) => ((Number(value) - low) / range) * 255;
}

/** What can be drawn of an observation, the largest first. */
export function drawingsOf(observation: unknown): Drawing[] {
  const found: Drawing[] = [];
  collect("", observation, undefined, found);
  if (!found.length) add(found, longestText(observation));
  const weight = ({ pixels, url, text }: Drawing) =>
    pixels ? 1e9 + pixels.width * pixels.height : url ? 1e9 : (text?.length ?? 0);
  return found.sort((one, other) => weight(other) - weight(one)).slice(0, 6);
}

/** Where there is nothing to draw, what is said. */
function longestText(observation: unknown): Drawing | undefined {
  const texts = children(observation).filter((pair): pair is [string, string] => typeof pair[1] === "string");
  const [longest] = texts.sort(([, one], [, other]) => other.length - one.length);
  return longest && { name: longest[0], text: longest[1] };
}

/** Whether there is more to see than text. Paints nothing. */
export function hasPicture(value: unknown): boolean {
  if (value instanceof Tensor) return layoutOf([...value.shape]) !== undefined;
  if (typeof value === "string") return PICTURE.test(value);
  const below = children(value);
  return below.length <= 64 && below.some(([, child]) => hasPicture(child));
}

function collect(name: string, value: unknown, parent: unknown, found: Drawing[]): void {
  if (value instanceof Tensor) return add(found, { name, pixels: pixelsOf(value) });
  if (typeof value === "string") return add(found, textOrPicture(name, value));
  const shaped = asTensor(value, isRecord(parent) ? parent[`${name}_shape`] : undefined);
  const pixels = shaped && pixelsOf(shaped);
  if (pixels) return add(found, { name, pixels });
  if (Array.isArray(value) && value.every((line) => typeof line === "string")) {
    return add(found, gridOf(name, value as string[]));
  }
  // A list of many things is for the tree.
  const below = children(value);
  if (below.length > 64) return;
  for (const [key, child] of below) collect(String(key), child, value, found);
}

function add(found: Drawing[], drawing: Drawing | undefined): void {
  if (drawing?.pixels || drawing?.url || drawing?.text) found.push(drawing);
}

const PICTURE = /^(data:image\/(?:png|jpeg|gif|webp);base64,|iVBORw0KGgo|\/9j\/|R0lGOD)/;
/** What a program has printed is looked at first, if it is only a word. */
const OUTPUT = /^(stdout|stderr|output)$/;
const TYPES: Record<string, string> = { i: "png", "/": "jpeg", R: "gif" };

function textOrPicture(name: string, text: string): Drawing | undefined {
  const [start] = PICTURE.exec(text) ?? [];
  if (start?.startsWith("data:")) return { name, url: text };
  if (start) return { name, url: `data:image/${TYPES[start[0]!]};base64,${text}` };
  return text.includes("\n") || OUTPUT.test(name) ? { name, text: text.trimEnd() } : undefined;
}

/** Lines of the same length are a board. */
function gridOf(name: string, lines: string[]): Drawing | undefined {
  const isGrid = lines.length > 2 && lines.every((line) => line.length === lines[0]!.length && line.length > 2);
  return isGrid ? { name, text: lines.join("\n") } : undefined;
}

/** Numbers in nested lists, or in a flat one whose shape stands beside it. */
function asTensor(value: unknown, shape: unknown): Tensor | undefined {
  if (!Array.isArray(value) || value.length < MIN_SIDE) return undefined;
  const isFlat = typeof value[0] === "number";
  const sides = isFlat ? shape : sidesOf(value);
  if (!Array.isArray(sides) || sides.length < 2) return undefined;
  const numbers = isFlat ? value : value.flat(Infinity);
  const size = sides.reduce((product: number, side: number) => product * side, 1);
  if (numbers.length !== size || !numbers.every((one) => typeof one === "number")) return undefined;
  return new Tensor(Float32Array.from(numbers as number[]), sides as number[]);
}

function sidesOf(value: unknown): number[] {
  return Array.isArray(value) ? [value.length, ...sidesOf(value[0])] : [];
}
