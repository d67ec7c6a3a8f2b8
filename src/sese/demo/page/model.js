// The model as a stream: some frames a call, its state kept between calls.

import * as ort from "./onnxruntime/ort.wasm.bundle.min.mjs";

const RUNTIME = "onnxruntime/ort-wasm-simd-threaded.wasm";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

/** Open the model that `facts` (an entry of models.json) describe; `tell(got, size)` is called with bytes. */
export async function openModel(facts, tell) {
  const wanted = [facts.address, ...(ort.env.wasm.wasmBinary ? [] : [RUNTIME])]; // the runtime once
  const responses = await Promise.all(wanted.map((address) => fetch(address)));
  const bad = responses.find((response) => !response.ok);
  if (bad) throw new Error(`${facts.name} cannot be loaded (${bad.status})`);
  const size = responses.reduce((sum, response) => sum + Number(response.headers.get("Content-Length")), 0);
  let got = 0;
  const [model, runtime] = await Promise.all(responses.map((response) => read(response, (more) => tell((got += more), size))));
  if (runtime) ort.env.wasm.wasmBinary = runtime;
  return ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3 });
}

/** The bytes of an answer; `more` is called with the number of each block. */
async function read(response, more) {
  const blocks = [];
  for (let reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(blocks).arrayBuffer());
    blocks.push(value);
    more(value.length);
  }
}

/** One signal of `channels` channels on its way through an opened model. */
export class Stream {
  constructor(session, facts, channels) {
    this.session = session;
    this.facts = facts;
    this.channels = channels;
    this.state = {};
    for (const [name, shape] of Object.entries(facts.state)) {
      const size = shape.reduce((product, axis) => product * axis, channels);
      this.state[`state.${name}`] = new ort.Tensor("float32", new Float32Array(size), [channels, ...shape]);
    }
  }

  /**
   * The next frames: `audio` is [channel, frames * hop], flat; `inputs` are those of `toInputs`.
   * Returns the enhanced audio, like it and late by `lookahead_samples`, and the share of compute of each frame.
   */
  async run(audio, { level, budget }) {
    const { hop_length: hop, levels } = this.facts;
    const time = audio.length / this.channels;
    const frames = time / hop;
    const results = await this.session.run({
      audio: new ort.Tensor("float32", audio, [this.channels, 1, time]),
      level: new ort.Tensor("int64", new BigInt64Array(frames).fill(BigInt(level)), [frames]),
      budget: new ort.Tensor("float32", Float32Array.of(budget), []),
      ceiling: new ort.Tensor("int64", BigInt64Array.of(BigInt(levels.length - 1)), []),
      ...this.state,
    });
    for (const name of Object.keys(this.state)) this.state[name] = results[`next_${name}`];
    return { audio: results.enhanced.data, used: results.utilization.data };
  }
}
