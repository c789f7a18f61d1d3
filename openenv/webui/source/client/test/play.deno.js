/** An episode in Deno, whose WebSocket is its own; run by hand or where deno is on the path. */

import { connect, Tensor } from "openenv";
import { serve } from "./server.js";

const server = await serve("tests.webui.probe:Probe");
for (const encoding of ["json", "msgpack"]) {
  const link = await connect(server.url, { encoding, WebSocket: globalThis.WebSocket });
  const session = await link.open();
  await session.reset({ seed: 1 });
  const { observation } = await session.step({ add: 1, echo: Int16Array.of(-1, 2) });
  if (observation.total !== 2 || !(observation.seen instanceof Tensor)) throw new Error(encoding);
  await link.close();
}
await server.stop();
console.log("played");
