import assert from "node:assert/strict";
import { test } from "node:test";
import { decode } from "@msgpack/msgpack";
import { Numbers } from "../dist/numbers.js";
import { WIRES, dataOf, vectors } from "./vectors.js";

/** The client's side of one link, played event by event. */
class Player {
  numbers = new Numbers();
  token = null;
  isLost = false;
  unsent = [];

  constructor(wire) {
    this.wire = wire;
  }

  play(event) {
    const data = event.json && dataOf(this.wire, event);
    switch (event.event) {
      case "connect":
      case "cut":
        break;
      case "hello":
        this.hello(event, data);
        break;
      case "message":
        if (event.from === "client") this.send(event, data);
        else if (event.arrives) this.receive(event, data);
        break;
      case "count":
        this.count(event.client);
        break;
      case "the link and its sessions are lost":
        assert.equal(this.isLost, true);
        break;
      default:
        assert.fail(`an event that this test does not know: ${event.event}`);
    }
  }

  hello(event, data) {
    if (event.from === "client") {
      const hello = this.wire.encode(["hello", 1, this.token, this.numbers.received, 104857600]);
      assert.deepEqual(this.read(hello), this.read(data).slice(0, 5));
      return;
    }
    const hello = this.wire.decodeHello(data);
    this.isLost = !this.numbers.attach(hello, this.token);
    this.token = hello.token;
    this.unsent = [...this.numbers.kept];
  }

  send(event, data) {
    if (event.again) {
      assert.deepEqual(this.unsent.shift(), data);
      return;
    }
    const [acknowledgement, frames] = this.read(data);
    assert.equal(this.numbers.announce(), acknowledgement);
    if (frames.length) this.numbers.keep(data);
  }

  receive(event, data) {
    const { acknowledgement, frames } = this.wire.decode(data);
    this.numbers.acknowledge(acknowledgement);
    if (frames.length) this.numbers.received += 1;
  }

  count({ sent, received, acknowledged }) {
    assert.deepEqual(
      { sent: this.numbers.sent, received: this.numbers.received, acknowledged: this.numbers.acknowledged },
      { sent, received, acknowledged },
    );
    assert.equal(this.numbers.kept.length, sent - acknowledged);
  }

  read(data) {
    return WIRES[0] === this.wire ? JSON.parse(data) : decode(data);
  }
}

for (const wire of WIRES) {
  for (const [name, events] of Object.entries(vectors("resume"))) {
    test(`${wire.encoding}: ${name}`, () => {
      const player = new Player(wire);
      for (const event of events) player.play(event);
      assert.deepEqual(player.unsent, []);
    });
  }
}

test("an acknowledgement of what was never sent is illegal", () => {
  const numbers = new Numbers();
  assert.throws(() => numbers.acknowledge(1), { code: "PROTOCOL_ERROR" });
  assert.throws(() => numbers.acknowledge(-1), { code: "PROTOCOL_ERROR" });
});

test("an old acknowledgement comes with a message that is sent again", () => {
  const numbers = new Numbers();
  for (const message of ["one", "two", "three"]) numbers.keep(message);
  numbers.acknowledge(2);
  numbers.acknowledge(1);
  assert.deepEqual(numbers.kept, ["three"]);
});

test("a server that lacks what is no longer kept resumes another link", () => {
  const numbers = new Numbers();
  numbers.keep("one");
  numbers.acknowledge(1);
  const hello = WIRES[0].decodeHello('["hello",1,"k3",true,0]');
  assert.throws(() => numbers.attach(hello, "k3"), { code: "PROTOCOL_ERROR" });
});
