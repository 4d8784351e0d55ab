// A server that writes what it is asked for to disk and waits until it is there, as a database does with its log.
//
// One write at a time, in the order they come. Each costs --cpu milliseconds of processor time (a checksum) and one
// write of 16 KiB with fdatasync.
//
//     node store.js --port 9001 --dir /tmp/store --cpu 4

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

const args = {};
for (let i = 2; i + 1 < process.argv.length; i += 2) {
  args[process.argv[i].replace(/^--/, "")] = process.argv[i + 1];
}
const cpu = Number(args.cpu ?? 4) * 1000;
const file = fs.openSync(path.join(args.dir, "log"), "w");
const block = Buffer.alloc(16 * 1024, "x");
let at = 0;

function store() {
  const began = process.cpuUsage();
  let sum;
  do {
    sum = crypto.createHash("sha256").update(block).digest("hex");
  } while (process.cpuUsage(began).user + process.cpuUsage(began).system < cpu);
  fs.writeSync(file, block, 0, block.length, at);
  fs.fdatasyncSync(file);
  at = (at + block.length) % (64 * 1024 * 1024);
  return sum;
}

const server = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    response.end(request.url === "/healthz" ? "ok" : store());
  });
});
server.keepAliveTimeout = 600_000;
server.listen(Number(args.port), "127.0.0.1", 1024);
