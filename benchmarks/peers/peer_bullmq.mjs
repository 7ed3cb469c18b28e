// BullMQ on Node, by what its worker does, and by the worker itself. It answers as measuring.py does.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Queue, Worker } from "bullmq";

const TEXT = "x".repeat(300);
const BULK = 500;
const SAMPLES = 200;
const IDLE = 20;
const NAME = "benchmark";
const TICKS = 100;

const text = { type: "string" };
const { values } = parseArgs({
  options: {
    url: text,
    durability: text,
    level: text,
    work: text,
    "server-pid": text,
    callers: { type: "string", default: "1" },
    depth: { type: "string", default: "5000" },
    seconds: { type: "string", default: "2" },
  },
});
const callers = Number(values.callers);
const depth = Number(values.depth);
const seconds = Number(values.seconds);
const { hostname: host, port } = new URL(values.url);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const queue = new Queue(NAME, { connection });
const worker = new Worker(NAME, null, { connection, autorun: false });
let tokens = 0;
let running = null;

const now = () => performance.now() / 1000;

class Meter {
  seconds = 0;
  client = 0;
  server = 0;

  serverCpu() {
    const pid = values["server-pid"];
    if (!pid) return 0;
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(")").pop().trim().split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  }

  async running(part) {
    const [wall, client, server] = [now(), process.cpuUsage(), this.serverCpu()];
    const answer = await part();
    const used = process.cpuUsage(client);
    this.seconds += now() - wall;
    this.client += (used.user + used.system) / 1e6;
    this.server += this.serverCpu() - server;
    return answer;
  }

  answer(jobs) {
    return {
      rate: jobs / this.seconds,
      client_us: (this.client / jobs) * 1e6,
      server_us: (this.server / jobs) * 1e6,
    };
  }
}

const enqueue = () => queue.add("build", { text: TEXT });
const enqueueMany = (number) =>
  queue.addBulk(Array.from({ length: number }, () => ({ name: "build", data: { text: TEXT } })));

async function fill(number) {
  for (let start = 0; start < number; start += BULK) {
    await enqueueMany(Math.min(BULK, number - start));
  }
}

async function pickUp() {
  worker.drained = true;
  for (;;) {
    const token = String(tokens++);
    const job = await worker.getNextJob(token);
    if (job) return job;
  }
}

async function claim() {
  const job = await worker.moveToActive(String(tokens++));
  if (!job) throw new Error("no job is there");
  return job;
}

const complete = (job) => job.moveToCompleted(null, job.token, false);

async function crowd(step, more) {
  let done = 0;
  const one = async () => {
    while (more()) {
      await step();
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: callers }, one));
  return done;
}

async function pairsOf(budget, end) {
  let left = budget;
  return crowd(
    async () => complete(await claim()),
    () => now() < end && left-- > 0,
  );
}

const works = {
  async enqueue(meter) {
    const end = now() + seconds;
    return meter.answer(await meter.running(() => crowd(enqueue, () => now() < end)));
  },
  async bulk(meter) {
    let done = 0;
    await meter.running(async () => {
      for (const end = now() + seconds; now() < end; done += BULK) await enqueueMany(BULK);
    });
    return meter.answer(done);
  },
  async pairs(meter) {
    let pairs = 0;
    while (meter.seconds < seconds) {
      await fill(depth);
      const end = now() + seconds - meter.seconds;
      pairs += await meter.running(() => pairsOf(depth, end));
    }
    return meter.answer(pairs);
  },
  async worker(meter) {
    await fill(depth);
    await meter.running(
      () =>
        new Promise((resolve) => {
          let left = depth;
          const build = async () => {
            left -= 1;
            if (left === 0) resolve();
          };
          running = new Worker(NAME, build, { connection, concurrency: callers });
        }),
    );
    return meter.answer(depth);
  },
  async pickup() {
    const took = [];
    for (let each = 0; each < SAMPLES; each += 1) {
      const picked = pickUp().then((job) => [job, now()]);
      await new Promise((resolve) => setTimeout(resolve, IDLE));
      const started = now();
      await enqueue();
      const [job, at] = await picked;
      took.push(at - started);
      await complete(job);
    }
    took.sort((a, b) => a - b);
    const middle = (took[SAMPLES / 2 - 1] + took[SAMPLES / 2]) / 2;
    return { p50_us: middle * 1e6, p99_us: took[SAMPLES - SAMPLES / 100] * 1e6 };
  },
};

await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
await fill(1);
await complete(await claim());
console.log(JSON.stringify(await works[values.work](new Meter())));
if (running) await running.close(true);
await worker.close(true);
await queue.close();
process.exit(0);
