// The model as a stream: some frames a call, its state kept between calls.

import * as ort from "./onnxruntime/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("onnxruntime/ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.logLevel = "error";

/** Open the model that `facts` (an entry of models.json) describe. */
export async function openModel(facts) {
  const response = await fetch(facts.address);
  if (!response.ok) throw new Error(`${facts.name} cannot be loaded (${response.status})`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 3 });
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
