/** Links that lose their sockets: nothing is lost with them, and nothing happens twice. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect } from "openenv";
import { Proxy, serve } from "./server.js";

const TARGET = "tests.webui.probe:Probe";

let server;
let proxy;

before(async () => {
  server = await serve(TARGET, { environ: { OPENENV_KEEPALIVE_S: "0.3" } });
  proxy = await Proxy.to(server.url);
});

after(async () => {
  await proxy.close();
  await server.stop();
});

/** A link over the proxy; `changed(state)` is when it gets there. */
async function connected(options, way = proxy) {
  const states = [];
  let told = () => {};
  const link = await connect(way.url, {
    ...options,
    onState: (state) => {
      states.push(state);
      told();
    },
  });
  const changed = async (state) => {
    while (!states.includes(state)) await new Promise((resolve) => (told = resolve));
    states.splice(0, states.indexOf(state) + 1);
  };
  await changed("open");
  return { link, changed };
}

/** Let the steps go on that wait at a door. */
async function openDoor(door) {
  const link = await connect(server.url);
  const session = await link.open();
  await session.reset();
  await session.step({ open: door });
  await link.close();
}

for (const encoding of ["json", "msgpack"]) {
  test(`${encoding}: a socket is cut in the middle of a step, which runs once`, async () => {
    const { link, changed } = await connected({ encoding });
    const session = await link.open();
    await session.reset();
    const door = `cut ${encoding}`;
    const step = session.step({ wait: door, add: 1 });
    // The reply to what was sent after it shows that the step has arrived.
    await (await link.open()).close();
    proxy.cut();
    await changed("reconnecting");
    const asked = session.step({ add: 10 });
    await changed("open");
    await openDoor(door);
    assert.equal((await step).observation.total, 1);
    assert.equal((await asked).observation.total, 11);
    assert.deepEqual(link.sessions, [session]);
    await link.close();
  });

  for (const direction of ["up", "down"]) {
    const what = direction === "up" ? "a request" : "a reply";
    test(`${encoding}: ${what} that was lost with its socket is sent again`, async () => {
      const { link, changed } = await connected({ encoding });
      const session = await link.open();
      await session.reset();
      proxy.loses[direction] = true;
      const steps = [1, 2, 3].map((add) => session.step({ add }));
      // Until several round trips on other sockets have given them the time to get lost.
      await openDoor("nothing");
      proxy.cut();
      await changed("open");
      const totals = (await Promise.all(steps)).map(({ observation }) => observation.total);
      assert.deepEqual(totals, [1, 3, 6]);
      assert.equal((await session.state()).step_count, 3);
      await link.close();
    });
  }

  test(`${encoding}: many cuts lose no step and double none`, async () => {
    const way = await Proxy.to(server.url);
    let cuts = 0;
    const onState = (state) => (cuts += state === "reconnecting");
    const link = await connect(way.url, { encoding, onState });
    let steps = 0;
    const play = async () => {
      const session = await link.open();
      await session.reset();
      for (let total = 1; total <= 40; total += 1) {
        assert.equal((await session.step({ add: 1 })).observation.total, total);
        steps += 1;
        if (steps % 25 === 0) way.cut();
      }
      assert.equal((await session.state()).step_count, 40);
    };
    await Promise.all(Array.from({ length: 5 }, play));
    assert.ok(cuts >= 5, `${cuts} cuts`);
    await link.close();
    await way.close();
  });

  test(`${encoding}: a saved link goes on after its page is gone`, async () => {
    const way = await Proxy.to(server.url);
    const { link } = await connected({ encoding }, way);
    const session = await link.open({ label: "tab" });
    await session.reset({ seed: 5 });
    const door = `reload ${encoding}`;
    const step = session.step({ wait: door, add: 1 });
    step.catch(() => {});
    const late = session.step({ add: 10 });
    late.catch(() => {});
    const saved = JSON.stringify(link.save());
    await way.close();

    const again = await connect(server.url, { resumeFrom: JSON.parse(saved) });
    assert.equal(again.isResumed, true);
    const [restored] = again.sessions;
    assert.deepEqual([restored.number, restored.label], [session.number, "tab"]);
    assert.deepEqual(restored.unanswered.map(({ kind }) => kind), ["step", "step"]);
    await openDoor(door);
    const totals = (await Promise.all(restored.unanswered.map(({ reply }) => reply))).map(
      ({ observation }) => observation.total,
    );
    assert.deepEqual(totals, [6, 16]);
    assert.equal((await restored.step({ add: 100 })).observation.total, 116);
    const another = await again.open();
    assert.ok(another.number > restored.number);
    await again.close();
    await link.close();
  });
}

test("a second page with the same saved link takes it over, and the first does not come back", async () => {
  const { link, changed } = await connected({});
  const session = await link.open();
  await session.reset();
  const waiting = session.step({ wait: "takeover", add: 1 });
  const saved = link.save();
  const second = await connect(server.url, { resumeFrom: saved });
  await assert.rejects(waiting, { code: "CONNECTION_LOST" });
  await changed("closed");
  assert.match(await session.closed, /taken/);
  await openDoor("takeover");
  const [{ reply }] = second.sessions[0].unanswered;
  assert.equal((await reply).observation.total, 1);
  await second.close();
});

test("a link that the server no longer knows is a new one, without its sessions", async () => {
  const { link } = await connected({});
  const session = await link.open();
  await session.reset();
  const saved = link.save();
  await link.close();
  // One in its place: the same one knows a closed link until it has read that it is closed.
  const another = await serve(TARGET);
  const again = await connect(another.url, { resumeFrom: saved });
  assert.equal(again.isResumed, false);
  assert.deepEqual(again.sessions, []);
  const fresh = await again.open();
  assert.equal((await fresh.reset({ seed: 1 })).observation.total, 1);
  await again.close();
  await another.stop();
});

test("a saved link whose server is gone leaves nothing behind", async () => {
  const way = await Proxy.to(server.url);
  const { link } = await connected({}, way);
  const session = await link.open();
  await session.reset();
  const waiting = session.step({ wait: "gone" });
  const saved = link.save();
  await way.close();
  await assert.rejects(connect(way.url, { resumeFrom: saved }), { code: "CONNECT_ERROR" });
  await link.close();
  await assert.rejects(waiting, { code: "CONNECTION_LOST" });
});

test("a session whose opening the page before did not see is closed", async () => {
  const single = await serve(TARGET, { options: ["--max-sessions", "1"] });
  const way = await Proxy.to(single.url);
  const { link } = await connected({}, way);
  const opening = link.open();
  opening.catch(() => {});
  const saved = link.save();
  await way.close();
  const again = await connect(single.url, { resumeFrom: saved });
  assert.deepEqual(again.sessions, []);
  // There is a slot for it only if that of the other one is free.
  const session = await again.open({ wait: 10 });
  assert.equal((await session.reset({ seed: 2 })).observation.total, 2);
  await again.close();
  await link.close();
  await single.stop();
});

test("after a restart of the server the sessions are lost, and the link is of use again", async () => {
  const first = await serve(TARGET);
  const second = await serve(TARGET);
  const way = await Proxy.to(first.url);
  const link = await connect(way.url);
  const session = await link.open();
  await session.reset();
  const waiting = session.step({ wait: "restart" });
  const refused = assert.rejects(waiting, { code: "CONNECTION_LOST" });
  way.lead(second.url);
  await first.stop();
  await refused;
  assert.match(await session.closed, /restarted/);
  await assert.rejects(session.step({}), { code: "SESSION_EXPIRED" });
  assert.equal(link.state, "open");
  const fresh = await link.open();
  assert.equal((await fresh.reset({ seed: 3 })).observation.total, 3);
  await link.close();
  await way.close();
  await second.stop();
});

test("a server that does not come back within its grace is given up", async () => {
  const brief = await serve(TARGET, { environ: { OPENENV_GRACE_S: "0.2" } });
  const link = await connect(brief.url);
  const session = await link.open();
  await session.reset();
  const waiting = session.step({ wait: "grace" });
  const refused = assert.rejects(waiting, { code: "CONNECTION_LOST" });
  await brief.stop();
  await refused;
  assert.equal(link.state, "closed");
  assert.match(await session.closed, /0\.2 s/);
});

test("a socket that died without a word is replaced", async () => {
  const { link, changed } = await connected({});
  const session = await link.open();
  await session.reset();
  proxy.loses = { up: true, down: true };
  const step = session.step({ add: 1 });
  await changed("reconnecting");
  proxy.loses = { up: false, down: false };
  assert.equal((await step).observation.total, 1);
  await link.close();
});

test("closing while a socket is being replaced ends it at once", async () => {
  const { link, changed } = await connected({});
  const session = await link.open();
  await session.reset();
  proxy.lead("http://127.0.0.1:1");
  proxy.cut();
  await changed("reconnecting");
  await link.close();
  assert.equal(link.state, "closed");
  proxy.lead(server.url);
});
