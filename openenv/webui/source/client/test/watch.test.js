import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { Tensor, connect } from "openenv";
import { Proxy, serve } from "./server.js";

let server;
let actor;
let spectator;

before(async () => {
  server = await serve("tests.webui.probe:Probe", { options: ["--watch"] });
});

after(() => server.stop());

beforeEach(async () => {
  actor = await connect(server.url);
});

afterEach(async () => {
  await actor.close();
  await spectator?.close();
});

/** The summary of the one session of this label, when `isDue` says that it is the one waited for. */
async function sees(watch, label, isDue) {
  for (;;) {
    const { value, done } = await watch.next();
    assert.equal(done, false);
    const found = value.sessions.find((summary) => summary.label === label && isDue(summary));
    if (found) return found;
  }
}

for (const encoding of ["json", "msgpack"]) {
  test(`${encoding}: a spectator sees what another client does`, async () => {
    spectator = await connect(server.url, { encoding });
    assert.ok(spectator.capabilities.includes("watch"));
    const label = `seen/${encoding}`;
    const watch = spectator.watch({ label: "seen" });
    const session = await actor.open({ label });
    await session.reset({ episode_id: "one" });
    const begun = await sees(watch, label, ({ episode }) => episode === 1);
    assert.deepEqual(
      [begun.environment, begun.episode_id, begun.step, begun.total_reward, begun.done],
      ["Probe", "one", 0, 0, false],
    );
    const board = new Tensor(Uint8Array.of(1, 2, 3, 4), [2, 2]);
    await session.step({ add: 1, echo: board, metadata: { lives: 3 } });
    await session.step({ add: 2, echo: board, metadata: { lives: 2 } });
    const now = await sees(watch, label, ({ step }) => step === 2);
    assert.deepEqual([now.reward, now.total_reward, now.metadata], [2, 3, { lives: 2 }]);
    assert.deepEqual(now.observation.seen, board);
    assert.deepEqual(now.action.echo, board);
    assert.notEqual(now.session, session.token);
    await session.close();
    for await (const { ended } of watch) {
      if (ended.includes(now.session)) break;
    }
    assert.deepEqual(await watch.next(), { done: true, value: undefined });
  });
}

test("without observations a summary has none", async () => {
  spectator = await connect(server.url);
  const session = await actor.open({ label: "plain" });
  await session.reset();
  await session.step({ add: 1 });
  const watch = spectator.watch({ label: "plain", observations: false });
  const seen = await sees(watch, "plain", ({ step }) => step === 1);
  assert.deepEqual([seen.action, seen.observation, seen.reward], [null, null, 1]);
  await watch.return();
});

test("a session can be followed by its public name", async () => {
  spectator = await connect(server.url);
  const [one, other] = [await actor.open({ label: "one" }), await actor.open({ label: "other" })];
  await Promise.all([one.reset(), other.reset()]);
  const all = spectator.watch();
  const { session: name } = await sees(all, "one", ({ episode }) => episode === 1);
  await all.return();
  const watch = spectator.watch({ sessions: [name] });
  await other.step({ add: 1 });
  await one.step({ add: 1 });
  for await (const { sessions } of watch) {
    assert.ok(sessions.every(({ label }) => label === "one"));
    if (sessions.some(({ step }) => step === 1)) break;
  }
});

test("who is slow gets the newest of each session, and hears of all that ended", async () => {
  spectator = await connect(server.url);
  const slow = spectator.watch({ label: "slow" });
  const quick = spectator.watch({ label: "slow" });
  const [session, other] = [await actor.open({ label: "slow" }), await actor.open({ label: "slow/2" })];
  await Promise.all([session.reset(), other.reset()]);
  const { session: name } = await sees(quick, "slow", ({ episode }) => episode === 1);
  for (let step = 0; step < 20; step += 1) await session.step({ add: 1 });
  await sees(quick, "slow", ({ step }) => step === 20);
  await other.close();
  while (!(await quick.next()).value.ended.length);
  const { value } = await slow.next();
  assert.deepEqual(value.sessions.map(({ session, step }) => [session, step]), [[name, 20]]);
  assert.equal(value.ended.length, 1);
  await Promise.all([slow.return(), quick.return()]);
});

test("a watch goes on over a lost socket", async () => {
  const proxy = await Proxy.to(server.url);
  spectator = await connect(proxy.url);
  const watch = spectator.watch({ label: "cut" });
  await watch.next();
  const session = await actor.open({ label: "cut" });
  await session.reset();
  proxy.cut();
  await session.step({ add: 1 });
  await sees(watch, "cut", ({ step }) => step === 1);
  await watch.return();
  await spectator.close();
  await proxy.close();
});

test("a watch too many is refused, and ends alone", async () => {
  spectator = await connect(server.url);
  const watches = Array.from({ length: 9 }, () => spectator.watch({ label: "many" }));
  await Promise.all(watches.slice(0, 8).map((watch) => watch.next()));
  await assert.rejects(watches[8].next(), { code: "TOO_MANY_REQUESTS" });
  assert.deepEqual(await watches[8].next(), { done: true, value: undefined });
  await Promise.all(watches.map((watch) => watch.return()));
});

test("closing the link ends a watch with an error", async () => {
  spectator = await connect(server.url);
  const watch = spectator.watch({ label: "none" });
  await watch.next();
  const next = watch.next();
  await spectator.close();
  await assert.rejects(next, { code: "CONNECTION_LOST" });
});
