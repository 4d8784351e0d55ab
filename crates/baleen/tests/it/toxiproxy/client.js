// Drives the fault server with toxiproxy-node-client, the client on npm.
//   node client.js http://HOST:PORT UPSTREAM     (UPSTREAM answers HTTP)
"use strict";
const assert = require("node:assert");
const http = require("node:http");
const { Toxiproxy } = require("toxiproxy-node-client");

const [url, upstream] = process.argv.slice(2);

// One request; its status and how long it took. No status for a connection that broke.
function ask(proxy) {
  const began = performance.now();
  return new Promise((resolve) => {
    const done = (status) => resolve({ status, took: performance.now() - began });
    const request = http.get(`http://${proxy.listen}/`, { agent: false }, (answer) => {
      answer.resume();
      answer.on("end", () => done(answer.statusCode));
      answer.on("error", () => done(undefined));
    });
    request.on("error", () => done(undefined));
  });
}

async function main() {
  const server = new Toxiproxy(url);
  assert.match(await server.getVersion(), /"version": "/);
  assert.deepEqual(await server.getAll(), {});

  const web = await server.createProxy({ name: "web", listen: "127.0.0.1:0", upstream });
  assert.equal(web.upstream, upstream);
  assert.equal(web.enabled, true);
  assert.equal((await ask(web)).status, 200);
  await assert.rejects(server.createProxy(web.toJson()), /409/);
  await assert.rejects(server.get("nobody"), /404/);
  assert.equal((await server.get("web")).listen, web.listen);

  const attributes = { latency: 300, jitter: 0 };
  const slow = await web.addToxic({ name: "slow", type: "latency", attributes });
  assert.deepEqual(slow.toJson(), {
    name: "slow", type: "latency", stream: "downstream", toxicity: 1, attributes,
  });
  const answer = await ask(web);
  assert.ok(answer.status === 200 && answer.took >= 299, JSON.stringify(answer));
  const slower = await slow.update({ attributes: { latency: 400, jitter: 0 } });
  assert.equal(slower.attributes.latency, 400);
  assert.equal((await web.getToxic("slow")).attributes.latency, 400);
  assert.ok((await ask(web)).took >= 399);
  await slower.remove();
  await assert.rejects(web.getToxic("slow"), /404/);
  await assert.rejects(web.addToxic({ name: "x", type: "nothing", attributes: {} }), /400/);

  await web.addToxic({ name: "r", type: "reset_peer", stream: "upstream", attributes: { timeout: 0 } });
  assert.equal((await ask(web)).status, undefined);
  await server.reset();
  assert.equal((await ask(web)).status, 200);

  const off = await web.update({ enabled: false, listen: web.listen, upstream });
  assert.equal(off.enabled, false);
  assert.equal((await ask(web)).status, undefined);

  const both = await server.populate([
    { name: "web", listen: web.listen, upstream },
    { name: "other", listen: "127.0.0.1:0", upstream },
  ]);
  assert.deepEqual(Object.keys(both), ["web", "other"]);
  assert.equal((await ask(both.other)).status, 200);
  for (const proxy of Object.values(await server.getAll())) {
    await proxy.remove();
  }
  assert.deepEqual(await server.getAll(), {});
  console.log("ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
