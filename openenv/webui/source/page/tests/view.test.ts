import { describe, expect, test } from "vitest";
import { diff } from "../source/view/diff";
import { drawingsOf, hasPicture, pixelsOf } from "../source/view/pixels";
import { brief, duration, readable, Tensor } from "../source/values";

const bytes = (length: number, at: (index: number) => number) => Uint8Array.from({ length }, (_, index) => at(index));
const pixel = (rgba: Uint8ClampedArray, index: number) => [...rgba.subarray(index * 4, index * 4 + 4)];

describe("pictures", () => {
  test("colours come last, or first, or there are none", () => {
    const last = pixelsOf(new Tensor(bytes(8 * 9 * 3, (index) => index), [8, 9, 3]))!;
    expect([last.width, last.height]).toEqual([9, 8]);
    expect(pixel(last.rgba, 1)).toEqual([3, 4, 5, 255]);
    const first = pixelsOf(new Tensor(bytes(3 * 8 * 9, (index) => Math.floor(index / 72) * 100), [3, 8, 9]))!;
    expect(pixel(first.rgba, 5)).toEqual([0, 100, 200, 255]);
    const grey = pixelsOf(new Tensor(bytes(8 * 9, (index) => index * 2), [8, 9]))!;
    expect(pixel(grey.rgba, 3)).toEqual([6, 6, 6, 255]);
  });

  test("of a stack the newest is shown", () => {
    const stack = new Tensor(bytes(4 * 10 * 10, (index) => 50 + Math.floor(index / 100) * 10), [4, 10, 10]);
    expect(pixel(pixelsOf(stack)!.rgba, 0)).toEqual([80, 80, 80, 255]);
    const colours = new Tensor(bytes(2 * 10 * 10 * 3, (index) => 50 + Math.floor(index / 300)), [2, 10, 10, 3]);
    expect(pixel(pixelsOf(colours)!.rgba, 0)).toEqual([51, 51, 51, 255]);
  });

  test("floats are spread over their range", () => {
    const unit = new Tensor(Float32Array.from({ length: 64 }, (_, index) => index / 63), [8, 8]);
    expect(pixel(pixelsOf(unit)!.rgba, 63)).toEqual([255, 255, 255, 255]);
    const signed = new Tensor(Float64Array.from({ length: 64 }, (_, index) => index - 32), [8, 8]);
    expect(pixel(pixelsOf(signed)!.rgba, 0)).toEqual([0, 0, 0, 255]);
  });

  test("small tables and vectors are none", () => {
    expect(pixelsOf(new Tensor(new Uint8Array(9), [3, 3]))).toBeUndefined();
    expect(pixelsOf(new Tensor(new Uint8Array(128), [128]))).toBeUndefined();
    expect(pixelsOf(new Tensor(new Uint8Array(0), [0, 8, 3]))).toBeUndefined();
  });

  test("flat lists with a shape beside them, and encoded files, are found", () => {
    const flat = { screen: Array.from({ length: 64 }, (_, index) => index), screen_shape: [8, 8] };
    expect(drawingsOf(flat)[0]?.pixels?.width).toBe(8);
    const png = { shot: "iVBORw0KGgoAAAA" };
    expect(drawingsOf(png)[0]?.url).toBe("data:image/png;base64,iVBORw0KGgoAAAA");
    expect([hasPicture(png), hasPicture({ text: "a" })]).toEqual([true, false]);
  });

  test("boards, output and, if there is nothing else, what is said", () => {
    expect(drawingsOf({ rows: ["x.o", "...", "..x"] })[0]?.text).toBe("x.o\n...\n..x");
    expect(drawingsOf({ stdout: "6\n", exit_code: 0 })[0]).toEqual({ name: "stdout", text: "6" });
    expect(drawingsOf({ short: "a", message: "hello" })).toEqual([{ name: "message", text: "hello" }]);
    expect(drawingsOf({ number: 3 })).toEqual([]);
  });
});

describe("differences", () => {
  test("are named by path, with old and new", () => {
    const before = { at: [1, 2], gone: true, same: { a: 1 } };
    const after = { at: [1, 3, 4], same: { a: 1 }, come: null };
    expect(diff(before, after)).toEqual([
      { path: "at[1]", kind: "changed", before: 2, after: 3 },
      { path: "at[2]", kind: "added", after: 4 },
      { path: "gone", kind: "removed", before: true },
      { path: "come", kind: "added", after: null },
    ]);
  });

  test("of arrays and long lists are counted", () => {
    const array = (last: number) => new Tensor(Uint8Array.of(1, 2, last), [3]);
    expect(diff({ a: array(3) }, { a: array(4) })[0]).toMatchObject({ path: "a", elements: [1, 3] });
    expect(diff(array(3), array(3))).toEqual([]);
    const list = Array.from({ length: 40 }, (_, index) => index);
    expect(diff(list, [...list, 1, 2])[0]?.elements).toEqual([2, 42]);
  });

  test("NaN is the same as NaN", () => {
    expect(diff({ reward: NaN }, { reward: NaN })).toEqual([]);
  });
});

describe("values in a line", () => {
  test("are cut where they are long", () => {
    expect(brief({ message: "Hello", list: [1, 2], none: null })).toBe('message: "Hello", list: [1, 2], none: null');
    expect(brief("a\n  b")).toBe("a b");
    expect(brief({ text: "x".repeat(500) }, 20)).toHaveLength(20);
    expect(brief(new Tensor(new Uint8Array(6), [2, 3]))).toBe("array 2 × 3");
  });

  test("numbers and times are readable", () => {
    expect([readable(1234.5678), readable(0.1 + 0.2), readable(1234567.8)]).toEqual(["1235", "0.3", "1,234,568"]);
    expect([duration(0.0042), duration(2), duration(150), duration(7300)]).toEqual(["4.2 ms", "2 s", "2 min", "2 h 1 min"]);
  });
});
