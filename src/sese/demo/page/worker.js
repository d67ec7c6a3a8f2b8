// All computing: the model and the spectra. One job at a time; a newer one ends the one before it.
//
// in   load {model}, enhance {job, channels, rate, inputs, analyse}, listen {job, port, inputs}, inputs {inputs}, stop
// out  loading {got, size}, loaded, before {columns}, part {channels, columns, used, busy}, done, live {...},
//      failed {message}

import { loadHead } from "./band_head.js";
import { Framing } from "./framing.js";
import { openModel, Stream } from "./model.js";
import { joined } from "./resample.js";
import { Analyser, meanOf } from "./spectrum.js";

const FRAMES = 16; // most of a call: more are hardly faster, and would tell of progress less often
const BREATH_MS = 25; // longest time without looking for messages

let loading; // promise of {session, facts, head}
let current = 0; // number of the job that runs
let inputs; // of the graph; may change between calls

self.onmessage = ({ data }) => handle(data).catch((error) => fail(data.job, error));

async function handle(message) {
  if (message.type === "load") {
    current = 0;
    const started = performance.now();
    const tell = (got, size) => self.postMessage({ type: "loading", address: message.model.address, got, size });
    const opening = Promise.all([openModel(message.model, tell), loadHead("band_head.safetensors")]);
    loading = opening.then(([session, head]) => ({ session, facts: message.model, head }));
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

/** A whole signal at its own rate, aligned with the input and as long: parts of it as they become ready. */
async function enhance({ job, channels, rate, analyse }) {
  const { session, facts, head } = await loading;
  if (analyse) {
    const columns = new Analyser(rate).feed(meanOf(channels), true);
    self.postMessage({ type: "before", job, columns }, [columns.buffer]);
  }
  const { hop_length: hop, sample_rate: modelRate } = facts;
  const piece = Math.round((FRAMES * hop * rate) / modelRate);
  const framing = new Framing(facts, rate, channels.length, head);
  const stream = new Stream(session, facts, channels.length);
  const analyser = new Analyser(rate);
  let rested = performance.now();
  for (let at = 0, last = false; !last; at += piece) {
    if (performance.now() - rested > BREATH_MS) {
      await new Promise((resolve) => setTimeout(resolve));
      rested = performance.now();
    }
    if (current !== job) return;
    const started = performance.now();
    last = at >= channels[0].length;
    const frames = last ? framing.finish() : framing.take(channels.map((channel) => channel.subarray(at, at + piece)));
    const time = frames[0].length;
    const done = time ? await stream.run(joined(frames), inputs) : { audio: new Float32Array(), used: [] };
    const enhanced = frames.map((_, index) => done.audio.slice(index * time, (index + 1) * time));
    const parts = last ? framing.conclude(enhanced) : framing.give(enhanced);
    const busy = performance.now() - started;
    const columns = analyser.feed(meanOf(parts), last);
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
