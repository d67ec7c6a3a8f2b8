// All computing: the model and the spectra. One job at a time; a newer one ends the one before it.
//
// in   load {model}, enhance {job, channels, inputs, analyse}, listen {job, port, inputs}, inputs {inputs}, stop
// out  loaded, before {columns}, part {channels, columns, used, busy}, done, live {...}, failed {message}

import { openModel, Stream } from "./model.js";
import { Analyser, meanOf } from "./spectrum.js";

const FRAMES = 16; // most of a call: more are hardly faster, and would tell of progress less often
const BREATH_MS = 25; // longest time without looking for messages

let loading; // promise of {session, facts}
let current = 0; // number of the job that runs
let inputs; // of the graph; may change between calls

self.onmessage = ({ data }) => handle(data).catch((error) => fail(data.job, error));

async function handle(message) {
  if (message.type === "load") {
    current = 0;
    const started = performance.now();
    loading = openModel(message.model).then((session) => ({ session, facts: message.model }));
    await loading;
    self.postMessage({ type: "loaded", address: message.model.address, ms: performance.now() - started });
  } else if (message.type === "enhance") {
    current = message.job;
    inputs = message.inputs;
    await enhance(message);
  } else if (message.type === "listen") {
    current = message.job;
    inputs = message.inputs;
    await listen(message);
  } else if (message.type === "inputs") {
    inputs = message.inputs;
  } else if (message.type === "stop") {
    current = 0;
  }
}

function fail(job, error) {
  self.postMessage({ type: "failed", job, message: String(error?.message ?? error) });
}

/** A whole signal, aligned with the input and as long: parts of it as they become ready. */
async function enhance({ job, channels, analyse }) {
  const { session, facts } = await loading;
  if (analyse) {
    const columns = new Analyser(facts.sample_rate).feed(meanOf(channels), true);
    self.postMessage({ type: "before", job, columns }, [columns.buffer]);
  }
  const { hop_length: hop, lookahead_samples: lookahead } = facts;
  const length = channels[0].length;
  const frames = Math.ceil((length + lookahead) / hop);
  const stream = new Stream(session, facts, channels.length);
  const analyser = new Analyser(facts.sample_rate);
  let rested = performance.now();
  for (let frame = 0; frame < frames; frame += FRAMES) {
    if (performance.now() - rested > BREATH_MS) {
      await new Promise((resolve) => setTimeout(resolve));
      rested = performance.now();
    }
    if (current !== job) return;
    const time = Math.min(FRAMES, frames - frame) * hop;
    const audio = new Float32Array(channels.length * time);
    channels.forEach((channel, index) => audio.set(channel.subarray(frame * hop, frame * hop + time), index * time));
    const started = performance.now();
    const done = await stream.run(audio, inputs);
    const busy = performance.now() - started;
    const from = frame * hop - lookahead; // place of the first sample in the signal
    const skip = Math.max(0, -from);
    const end = Math.min(time, length - from);
    const parts = channels.map((_, index) => done.audio.slice(index * time + skip, index * time + Math.max(skip, end)));
    const columns = analyser.feed(meanOf(parts), frame + FRAMES >= frames);
    self.postMessage({ type: "part", job, channels: parts, columns, used: done.used, busy });
  }
  self.postMessage({ type: "done", job });
}

/**
 * The microphone: blocks of a hop come from the audio thread by `port`, and go back enhanced, each with the
 * input of the same moment, so that the two can be compared in step. Blocks that wait are run together, which
 * takes less time for each.
 */
async function listen({ job, port }) {
  const { session, facts } = await loading;
  const { hop_length: hop, lookahead_samples: lookahead } = facts;
  const stream = new Stream(session, facts, 1);
  const analysers = [new Analyser(facts.sample_rate), new Analyser(facts.sample_rate)];
  const waiting = [];
  let late = new Float32Array(lookahead); // input that waits for its enhanced counterpart
  let working = false;

  async function take(blocks) {
    const audio = joined(blocks);
    const started = performance.now();
    const done = await stream.run(audio, inputs);
    const busy = performance.now() - started;
    const heard = joined([late, audio]);
    const before = heard.slice(0, audio.length);
    late = heard.slice(audio.length);
    const after = done.audio;
    for (let at = 0; at < audio.length; at += hop)
      port.postMessage({ before: before.slice(at, at + hop), after: after.slice(at, at + hop) });
    const columns = [before, after].map((signal, index) => analysers[index].feed(signal, false));
    self.postMessage({ type: "live", job, before, after, columns, used: done.used, busy });
  }

  async function work() {
    working = true;
    while (waiting.length && current === job) {
      await take(waiting.splice(0, FRAMES));
      if (waiting.length) await new Promise((resolve) => setTimeout(resolve)); // other messages have a turn
    }
    working = false;
    if (current !== job) port.close();
  }

  port.onmessage = ({ data }) => {
    waiting.push(data);
    if (!working) work().catch((error) => fail(job, error));
  };
}

function joined(blocks) {
  const all = new Float32Array(blocks.reduce((length, block) => length + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    all.set(block, at);
    at += block.length;
  }
  return all;
}
