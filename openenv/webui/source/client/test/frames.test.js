import assert from "node:assert/strict";
import { test } from "node:test";
import { decode } from "@msgpack/msgpack";
import { OpenEnvError } from "openenv";
import { Numbers } from "../dist/numbers.js";
import { errorOf } from "../dist/requests.js";
import { WIRES, dataOf, fromBase64, messageOf, unspell, vectors } from "./vectors.js";

const frames = vectors("frames");

/** What a program that knows neither frames nor tensors reads. */
function readGenerically(wire, data) {
  return wire.encoding === "json" ? JSON.parse(data) : decode(data);
}

for (const wire of WIRES) {
  for (const vector of frames.filter(({ from }) => from === "server")) {
    test(`${wire.encoding}: the server's frame is read: ${vector.name}`, () => {
      const expected = { kind: vector.frame, ...unspell(vector.fields) };
      if (vector.frame === "segment" && wire.encoding === "msgpack") {
        expected.nonce = fromBase64(expected.nonce);
      }
      const read =
        vector.frame === "hello"
          ? wire.decodeHello(dataOf(wire, vector))
          : wire.decode(messageOf(wire, dataOf(wire, vector))).frames[0];
      for (const summary of expected.sessions ?? []) {
        const [session] = read.sessions.splice(0, 1);
        assert.deepEqual({ ...session, ...summary }, session);
      }
      delete expected.sessions;
      delete read.sessions;
      assert.deepEqual(read, expected);
    });
  }

  for (const vector of frames.filter(({ from }) => from === "client")) {
    test(`${wire.encoding}: the client's frame is written: ${vector.name}`, () => {
      const written = wire.encode([vector.frame, ...Object.values(unspell(vector.fields))]);
      assert.deepEqual(
        readGenerically(wire, written),
        readGenerically(wire, dataOf(wire, vector)),
      );
    });
  }

  for (const vector of vectors("messages").read) {
    test(`${wire.encoding}: the message is written: ${vector.name}`, () => {
      const whole = vector.frames.every(({ frame }) => frame !== undefined);
      const written = vector.frames.map(({ frame }) => wire.encode(unspell(frame ?? ["dance", 5])));
      const message = readGenerically(wire, wire.join(vector.acknowledgement, written));
      const expected = readGenerically(wire, dataOf(wire, vector));
      if (whole) assert.deepEqual(message, expected);
      else assert.equal(message[1].length, expected[1].length);
    });
  }

  test(`${wire.encoding}: the frames of a message are read in order`, () => {
    const vector = vectors("messages").read.find(({ name }) => name === "many replies");
    const { acknowledgement, frames: read } = wire.decode(dataOf(wire, vector));
    assert.equal(acknowledgement, vector.acknowledgement);
    assert.deepEqual(
      read.map(({ kind }) => kind),
      vector.frames.map(({ frame }) => frame[0]),
    );
    assert.deepEqual(
      read.slice(1).map(({ reward }) => reward),
      [null, 1.5, 1, true, NaN],
    );
  });

  for (const [index, vector] of vectors("messages").broken.entries()) {
    test(`${wire.encoding}: what is no message is refused: ${index}, ${vector.json}`, () => {
      assert.throws(() => wire.decode(dataOf(wire, vector)), { code: "PROTOCOL_ERROR" });
    });
  }

  test(`${wire.encoding}: the other encoding is refused`, () => {
    const other = WIRES.find((candidate) => candidate !== wire);
    assert.throws(() => wire.decode(other.join(0, [])), { code: "PROTOCOL_ERROR" });
  });

  const malformed = {
    "of a later version": ["dance", 5, 1],
    "with a field of the wrong type": ["opened", 5, 1],
    "that lacks a field": ["closed", 5],
    "with a number outside its limits": ["error", 5, "X", "", 1],
  };
  for (const [name, frame] of Object.entries(malformed)) {
    test(`${wire.encoding}: a frame ${name} fails its own request only`, () => {
      const good = ["opened", 7, "s1"];
      const message = wire.join(0, [good, frame, good].map((one) => wire.encode(one)));
      const { frames: read } = wire.decode(message);
      assert.deepEqual(read[0], { kind: "opened", id: 7, token: "s1" });
      assert.deepEqual(read[2], read[0]);
      assert.equal(read[1].kind, "error");
      assert.equal(read[1].id, 5);
      assert.equal(read[1].code, "PROTOCOL_ERROR");
    });
  }

  test(`${wire.encoding}: a malformed frame without an id is nobody's`, () => {
    for (const frame of [["closed", "5"], ["closed", 2 ** 53], { closed: 5 }, []]) {
      const { frames: read } = wire.decode(wire.join(0, [wire.encode(frame)]));
      assert.equal(read[0].id, 0);
    }
  });

  test(`${wire.encoding}: elements of a later version are ignored`, () => {
    const { frames: read } = wire.decode(messageOf(wire, wire.encode(["opened", 7, "s1", {}])));
    assert.deepEqual(read, [{ kind: "opened", id: 7, token: "s1" }]);
  });

  test(`${wire.encoding}: a summary may not know the total of its episode`, () => {
    const summary = { session: "5d41402abc4b", environment: "Probe", total_reward: null };
    const [event] = wire.decode(messageOf(wire, wire.encode(["event", 1, [summary]]))).frames;
    assert.equal(event.sessions[0].total_reward, null);
    assert.equal(event.sessions[0].steps_per_s, 0);
  });

  for (const vector of vectors("errors")) {
    test(`${wire.encoding}: the error is thrown with its data: ${vector.code}`, () => {
      const [frame] = wire.decode(messageOf(wire, dataOf(wire, vector))).frames;
      const error = errorOf(frame);
      assert.ok(error instanceof OpenEnvError);
      assert.equal(error.code, vector.code);
      assert.equal(error.message, "what happened");
      assert.equal(error.retryable, vector.retryable);
      assert.deepEqual(error.details, vector.details);
    });
  }

  test(`${wire.encoding}: a link begins as the vectors say`, () => {
    const [, hello, answer] = vectors("hello")["begin a link"];
    const written = readGenerically(wire, wire.encode(["hello", 1, null, 0, 104857600]));
    assert.deepEqual(written, readGenerically(wire, dataOf(wire, hello)).slice(0, 5));
    assert.equal(new Numbers().attach(wire.decodeHello(dataOf(wire, answer)), null), true);
  });

  for (const vector of vectors("hello").refused.filter(({ from }) => from === "server")) {
    test(`${wire.encoding}: a hello is refused: ${vector.why}`, () => {
      const attach = () => new Numbers().attach(wire.decodeHello(dataOf(wire, vector)), null);
      assert.throws(attach, { code: "PROTOCOL_ERROR" });
    });
  }

  test(`${wire.encoding}: a first message that is no hello is refused`, () => {
    for (const first of [wire.encode(["closed", 1, 1]), wire.join(0, [])]) {
      assert.throws(() => wire.decodeHello(first), { code: "PROTOCOL_ERROR" });
    }
  });
}
