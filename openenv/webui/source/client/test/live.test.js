import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { OpenEnvError, Tensor, connect } from "openenv";
import { serve } from "./server.js";

let server;

before(async () => {
  const environ = { OPENENV_MAX_MESSAGE_BYTES: "1000000" };
  server = await serve("tests.webui.probe:Probe", { environ });
});

after(() => server.stop());

async function using(options, play) {
  const link = await connect(server.url, options);
  try {
    return await play(link);
  } finally {
    await link.close();
  }
}

async function playing(encoding, play) {
  return using({ encoding }, async (link) => {
    const session = await link.open();
    await session.reset();
    return play(session, link);
  });
}

for (const encoding of ["json", "msgpack"]) {
  test(`${encoding}: an episode is played`, () =>
    using({ encoding }, async (link) => {
      assert.equal(link.encoding, encoding);
      assert.equal(link.environment, "Probe");
      const session = await link.open({ label: "by hand" });
      assert.equal(session.label, "by hand");
      assert.deepEqual(await session.reset({ seed: 40, begin: "here" }), {
        observation: { total: 40, seen: "here" },
        reward: null,
        done: false,
        truncated: false,
        metadata: null,
      });
      const { observation, reward } = await session.step({ add: 2 });
      assert.deepEqual([observation.total, reward], [42, 2]);
      const end = await session.step({ done: true, truncated: true, metadata: { lives: 0 } });
      assert.deepEqual([end.done, end.truncated, end.metadata], [true, true, { lives: 0 }]);
      await session.reset({ episode_id: "second" });
      assert.deepEqual(await session.state(), { episode_id: "second", step_count: 0 });
      await session.close();
      assert.equal(session.isOpen, false);
      assert.equal(await session.closed, "closed");
      await assert.rejects(session.step({}), { code: "SESSION_EXPIRED" });
      assert.deepEqual(link.sessions, []);
    }));

  test(`${encoding}: sessions run beside each other on one link`, () =>
    using({ encoding }, async (link) => {
      const sessions = await Promise.all(Array.from({ length: 20 }, () => link.open()));
      const results = await Promise.all(
        sessions.map(async (session, seed) => {
          const first = session.reset({ seed });
          const second = session.step({ add: 100 });
          return [await first, await second].map(({ observation }) => observation.total);
        }),
      );
      assert.deepEqual(results, sessions.map((_, seed) => [seed, seed + 100]));
    }));

  test(`${encoding}: arrays keep their shape and type both ways`, () =>
    playing(encoding, async (session) => {
      const sent = {
        frame: new Tensor(Uint8Array.from({ length: 24 }, (_, index) => index), [2, 3, 4]),
        half: new Tensor(Float32Array.of(0.5, -2), [2], "<f2"),
        long: new Tensor(BigInt64Array.of(2n ** 60n), [1]),
        mask: new Tensor(Uint8Array.of(1, 0), [2], "|b1"),
        none: new Tensor(new Float32Array(0), [0, 3]),
        scalar: new Tensor(Float64Array.of(1.25), []),
      };
      const { observation } = await session.step({ echo: sent });
      assert.deepEqual(observation.seen, sent);
    }));

  test(`${encoding}: a reward may be no number`, () =>
    playing(encoding, async (session) => {
      const { reward } = await session.step({ nan: true });
      assert.ok(Number.isNaN(reward));
    }));

  test(`${encoding}: text is kept, and keys that JavaScript knows otherwise`, () =>
    playing(encoding, async (session) => {
      const text = { "päivää 🌞": ["\u0000", "\u2028"], constructor: 1, length: 0 };
      assert.deepEqual((await session.step({ echo: text })).observation.seen, text);
    }));

  test(`${encoding}: partial observations come before the last`, () =>
    playing(encoding, async (session) => {
      const seen = [];
      const onPartial = ({ observation }) => seen.push(observation.seen);
      const last = await session.step({ partials: ["a", "b"], echo: "c" }, { onPartial });
      assert.deepEqual([...seen, last.observation.seen], ["a", "b", "c"]);
    }));

  test(`${encoding}: what the environment raises is an error with its code`, () =>
    playing(encoding, async (session) => {
      const failed = session.step({ fail: "no such door" });
      await assert.rejects(failed, (error) => {
        assert.ok(error instanceof OpenEnvError);
        assert.equal(error.code, "ENVIRONMENT_FAULT");
        assert.equal(error.details.remote_type, "ValueError");
        assert.match(error.message, /no such door/);
        return true;
      });
      assert.equal((await session.step({ add: 1 })).observation.total, 1);
    }));

  test(`${encoding}: what is larger than the server takes is refused here`, () =>
    playing(encoding, async (session) => {
      const large = session.step({ echo: "x".repeat(1_000_001) });
      await assert.rejects(large, { code: "PAYLOAD_TOO_LARGE" });
      assert.equal((await session.step({ add: 1 })).observation.total, 1);
    }));

  test(`${encoding}: a reply larger than this side takes is an error of its request`, () =>
    using({ encoding, maxMessageBytes: 2048 }, async (link) => {
      const session = await link.open();
      await session.reset();
      const large = Promise.all([1, 2, 3].map(() => session.step({ echo: "x".repeat(1500), add: 1 })));
      await large;
      const wide = session.step({ echo: "x".repeat(2100) });
      await assert.rejects(wide, { code: "PAYLOAD_TOO_LARGE" });
      assert.equal((await session.step({})).observation.total, 3);
    }));

  test(`${encoding}: many large requests at once are divided into messages`, () =>
    playing(encoding, async (session) => {
      const texts = Array.from({ length: 30 }, (_, index) => String(index).repeat(20_000));
      const results = await Promise.all(texts.map((echo) => session.step({ echo })));
      assert.deepEqual(results.map(({ observation }) => observation.seen), texts);
    }));
}

test("the server's first choice is MessagePack", () =>
  using({}, async (link) => assert.equal(link.encoding, "msgpack")));

test("a step before the first reset is refused", () =>
  using({}, async (link) => {
    const session = await link.open();
    await assert.rejects(session.step({}), { code: "NOT_RESET" });
    await assert.rejects(session.state(), { code: "NOT_RESET" });
  }));

test("an option that reset does not take is named", () =>
  using({}, async (link) => {
    const session = await link.open();
    await assert.rejects(session.reset({ difficulty: "hard" }), (error) => {
      assert.equal(error.code, "PAYLOAD_ERROR");
      assert.match(error.details.path, /difficulty/);
      return true;
    });
  }));

test("a step that takes longer than it may is stopped by the server", () =>
  playing("auto", async (session, link) => {
    const late = session.step({ wait: "timeout" }, { timeoutS: 0.05 });
    await assert.rejects(late, { code: "STEP_TIMEOUT" });
    await assert.rejects(session.state(), { code: "NOT_RESET" });
    await openDoor(link, "timeout");
  }));

test("a request can be given up, and its late reply is nobody's", () =>
  playing("auto", async (session, link) => {
    const controller = new AbortController();
    const step = session.step({ wait: "abort" }, { signal: controller.signal });
    controller.abort();
    await assert.rejects(step, { code: "CANCELLED" });
    await openDoor(link, "abort");
    assert.equal((await session.reset({ seed: 5 })).observation.total, 5);
    const never = session.step({ add: 1 }, { signal: AbortSignal.abort() });
    await assert.rejects(never, { code: "CANCELLED" });
    assert.equal((await session.step({})).observation.total, 5);
  }));

test("a session goes on elsewhere by its token, and its link is told", () =>
  playing("auto", async (session) => {
    await session.step({ add: 7 });
    await using({}, async (other) => {
      const taken = await other.open({ token: session.token });
      assert.match(await session.closed, /./);
      await assert.rejects(session.step({}), { code: "SESSION_EXPIRED" });
      assert.equal((await taken.step({ add: 1 })).observation.total, 8);
    });
  }));

test("a token that names no session is an error", () =>
  using({}, async (link) => {
    await assert.rejects(link.open({ token: "none" }), { code: "SESSION_NOT_FOUND" });
    assert.deepEqual(link.sessions, []);
  }));

test("after close nothing can be asked, and what waited has failed", async () => {
  const states = [];
  const link = await connect(server.url, { onState: (state) => states.push(state) });
  const session = await link.open();
  await session.reset();
  const waiting = session.step({ wait: "close" });
  await link.close();
  await link.close();
  await assert.rejects(waiting, { code: "CONNECTION_LOST" });
  await assert.rejects(link.open(), { code: "CONNECTION_LOST" });
  await assert.rejects(session.state(), { code: "SESSION_EXPIRED" });
  assert.deepEqual(states, ["open", "closed"]);
  await using({}, (other) => openDoor(other, "close"));
});

test("who cannot connect is told where and why", async () => {
  await assert.rejects(connect("http://127.0.0.1:1"), (error) => {
    assert.equal(error.code, "CONNECT_ERROR");
    assert.equal(error.retryable, true);
    assert.match(error.message, /127\.0\.0\.1:1\/ws/);
    return true;
  });
  await assert.rejects(connect("ftp://127.0.0.1"), { code: "CONFIGURATION_ERROR" });
  await assert.rejects(connect("nonsense"), { code: "CONFIGURATION_ERROR" });
  await assert.rejects(connect(server.url, { resumeFrom: { version: 2 } }), {
    code: "CONFIGURATION_ERROR",
  });
  await assert.rejects(connect(`${server.url}/elsewhere`), { code: "CONNECT_ERROR" });
});

test("sessions of others cannot be watched unless the server allows it", () =>
  using({}, async (link) => {
    assert.throws(() => link.watch(), { code: "UNSUPPORTED" });
  }));

async function openDoor(link, door) {
  const session = await link.open();
  await session.reset();
  await session.step({ open: door });
  await session.close();
}
