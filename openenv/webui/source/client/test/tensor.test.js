import assert from "node:assert/strict";
import { test } from "node:test";
import { Tensor, fromJson, toJson } from "openenv";
import { toBytes } from "../dist/tensor.js";
import { WIRES, dataOf, messageOf, toHex, vectors } from "./vectors.js";

const { arrays, refused } = vectors("arrays");

/** Reads what a server sends of an observation. */
function readObservation(wire, encoded) {
  const head = wire.encode(["result", 6]);
  const frame =
    wire.encoding === "json"
      ? `${head.slice(0, -1)},${encoded}]`
      : Uint8Array.from([0x93, ...head.slice(1), ...encoded]);
  return wire.decode(messageOf(wire, frame)).frames[0];
}

/** How a value is written, without the frame around it. */
function written(wire, value) {
  const frame = wire.encode(["x", value]);
  return wire.encoding === "json" ? frame.slice('["x",'.length, -1) : frame.slice(3);
}

for (const wire of WIRES) {
  for (const vector of arrays) {
    const name = `${vector.dtype} of shape [${vector.shape}]`;

    test(`${wire.encoding}: an array is read: ${name}`, () => {
      const { observation } = readObservation(wire, dataOf(wire, vector));
      assert.ok(observation instanceof Tensor);
      assert.equal(observation.dtype, vector.dtype);
      assert.deepEqual(observation.shape, vector.shape);
      assert.equal(toHex(toBytes(observation)), vector.bytes);
    });

    test(`${wire.encoding}: an array is written as it was read: ${name}`, () => {
      const { observation } = readObservation(wire, dataOf(wire, vector));
      const { observation: again } = readObservation(wire, written(wire, observation));
      assert.deepEqual(again, observation);
    });
  }

  for (const vector of refused) {
    test(`${wire.encoding}: an array is refused, and costs its own frame only: ${vector.name}`, () => {
      const frame = readObservation(wire, dataOf(wire, vector));
      assert.equal(frame.kind, "error");
      assert.equal(frame.id, 6);
      assert.equal(frame.code, "PAYLOAD_ERROR");
    });
  }

  test(`${wire.encoding}: typed arrays are sent as arrays of one dimension`, () => {
    const { observation } = readObservation(wire, written(wire, Float32Array.of(1.5, NaN)));
    assert.deepEqual(observation, new Tensor(Float32Array.of(1.5, NaN), [2]));
  });

  test(`${wire.encoding}: what cannot be sent is refused where it is given`, () => {
    const cycle = {};
    cycle.self = cycle;
    for (const value of [1n, () => 1, Symbol("x"), new Map([[1, 2]]), Promise.resolve(1), cycle]) {
      assert.throws(() => wire.encode(["step", 1, 1, { value }]), { code: "PAYLOAD_ERROR" });
    }
  });
}

test("elements are named by their place", () => {
  const tensor = new Tensor(Uint8Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
  assert.deepEqual(tensor.toArray(), [
    [1, 2, 3],
    [4, 5, 6],
  ]);
  assert.deepEqual(new Tensor(Uint8Array.of(0, 1), [2], "|b1").toArray(), [false, true]);
  assert.deepEqual(new Tensor(Float32Array.of(1, 2, 3, 4), [2], "<c8").toArray(), [
    [1, 2],
    [3, 4],
  ]);
  assert.equal(new Tensor(Float64Array.of(7), []).toArray(), 7);
});

test("numbers of 16 bits keep every value", () => {
  const halves = Uint16Array.from({ length: 0x10000 }, (_, bits) => bits).filter(
    (bits) => (bits & 0x7c00) !== 0x7c00 || (bits & 0x3ff) === 0,
  );
  const bytes = Buffer.from(halves.buffer).toString("base64");
  const json = JSON.stringify({ __array__: bytes, dtype: "<f2", shape: [halves.length] });
  const { observation } = readObservation(WIRES[0], json);
  assert.deepEqual(toBytes(observation), new Uint8Array(halves.buffer));
});

test("numbers between those of 16 bits are rounded to the nearest, ties to even", () => {
  const between = Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, 2 ** -25, 2 ** -24 * 1.5);
  const halves = new Uint16Array(toBytes(new Tensor(between, [6], "<f2")).slice().buffer);
  assert.deepEqual([...halves], [0x3c00, 0x3c02, 0x7bff, 0x7c00, 0, 2]);
});

test("a tensor is as many numbers as its shape says", () => {
  assert.throws(() => new Tensor(Uint8Array.of(1, 2, 3), [2, 2]), { code: "PAYLOAD_ERROR" });
  assert.throws(() => new Tensor(Uint8Array.of(1), [-1]), { code: "PAYLOAD_ERROR" });
  assert.throws(() => new Tensor(Uint8Array.of(1), [1], "<f3"), { code: "PAYLOAD_ERROR" });
});

test("values with tensors are JSON data and back", () => {
  const value = { frame: new Tensor(Uint8Array.of(1, 2), [1, 2]), rest: [null, NaN, "text"] };
  const data = toJson(value);
  assert.deepEqual(data, {
    frame: { __array__: "AQI=", dtype: "|u1", shape: [1, 2] },
    rest: [null, "NaN", "text"],
  });
  const again = fromJson(JSON.parse(JSON.stringify(data)));
  assert.deepEqual(again, { ...value, rest: [null, "NaN", "text"] });
  assert.throws(() => fromJson({ __array__: "AQI=", dtype: "|u1", shape: [3] }), {
    code: "PAYLOAD_ERROR",
  });
  assert.throws(() => toJson({ value: 1n }), { code: "PAYLOAD_ERROR" });
});
