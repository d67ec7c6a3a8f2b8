// A sese model run by onnxruntime-node: samples in, enhanced samples out, one frame at a time.
//
//     const model = await Model.open('model.onnx');
//     const stream = model.stream({ channels: 1, rule: model.within(0.3) });
//     for await (const chunk of microphone) play(await stream.feed([chunk])); // any length
//     play(await stream.flush());
//
// What the model file promises is written in docs/guides/deploying.md.

import { readFile } from 'node:fs/promises';
import ort from 'onnxruntime-node';

const FORMAT = 2; // of the model file that this code reads
const ROUTER = -1; // the level that leaves the choice to the router
const SLACK = 1e-6; // 1/3 as a decimal is to select the level 1/3
const PAUSES = 1 / 3; // share of the time at rest, at most, with which a number is to reach the second level

/** What a caller can mend; everything else is a fault of the program. */
export class InputError extends Error {}

/** An opened model file. Any number of streams may share it. */
export class Model {
  /**
   * @param {string} path The ONNX file.
   * @returns {Promise<Model>}
   */
  static async open(path) {
    const refuse = (what) => {
      throw new InputError(`${path} is not a model that can be run: ${what}; make it anew with \`sese export\``);
    };
    let bytes;
    try {
      bytes = await readFile(path);
    } catch (error) {
      throw new InputError(`${path} cannot be read (${error.code ?? error.message}); name a model file`);
    }
    const text = readMetadata(bytes).get('sese');
    if (text === undefined) refuse('it carries no `sese` metadata');
    const facts = JSON.parse(text);
    if (facts.format !== FORMAT) refuse(`its format is ${facts.format} and this code reads ${FORMAT}`);
    const session = await ort.InferenceSession.create(bytes, {
      executionProviders: ['cpu'],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    return new Model(session, facts);
  }

  /** @private Use `Model.open`. */
  constructor(session, facts) {
    this.session = session;
    /** The facts about the model: `sample_rate`, `hop_length`, `lookahead_samples`, `levels`, `router`, ... */
    this.facts = facts;
    /** Name and shape behind the batch of each state. */
    this.states = session.inputMetadata
      .filter(({ name }) => name.startsWith('state.'))
      .map(({ name, shape }) => ({ name: name.slice('state.'.length), shape: shape.slice(1) }));
  }

  /** One level in every frame, counted from 0, the cheapest. */
  atLevel(level) {
    if (!Number.isInteger(level) || level < 0 || level >= this.facts.levels.length) {
      throw new InputError(`there is no level ${level}; ${this.#levels()}`);
    }
    return { level, budget: 0, ceiling: this.facts.levels.length - 1 };
  }

  /**
   * A share of compute, from the lowest level's to 1: the highest level within it always runs. A model that
   * rests runs the highest level whose mean stays within it, and does not rest below two thirds of the second
   * level. Where gates decide, on channels or on experts,
   * there is 1 alone.
   */
  within(budget) {
    const { gates, alternatives, levels, rests, router } = this.facts;
    if (gates || alternatives) {
      if (budget !== 1) throw new InputError(`the model runs at no other budget than 1; ${this.#levels()}`);
      return router ? this.automatic() : this.atLevel(levels.length - 1);
    }
    const used = levels.map(({ utilization }) => utilization);
    if (!(budget >= used[0] - SLACK && budget <= 1)) {
      throw new InputError(`budget is ${budget}; give a number from ${used[0]}, the lowest level, to 1; ${this.#levels()}`);
    }
    const from = rests && used.length > 1 ? (1 - PAUSES) * used[1] : Infinity;
    if (budget >= from - SLACK && budget < used.at(-1) - SLACK) return { ...this.automatic(), budget };
    return this.atLevel(used.findLastIndex((utilization) => utilization <= budget + SLACK));
  }

  /** The router, freely. */
  automatic() {
    if (!this.facts.router) throw new InputError(`the model has no router; ${this.#levels()}`);
    return { level: ROUTER, budget: 0, ceiling: this.facts.levels.length - 1 };
  }

  /** A stream of its own state; see `Stream`. */
  stream(options = {}) {
    return new Stream(this, options);
  }

  /** Free the session. No stream of this model can be used after it. */
  async close() {
    await this.session.release();
  }

  #levels() {
    const list = this.facts.levels.map(({ utilization }, index) => `${index} (${utilization})`);
    return `${this.facts.name} has the levels ${list.join(', ')}`;
  }
}

/**
 * One signal on its way through a model.
 *
 * What comes out is as long as what went in and aligned with it to the sample, however it was divided. The
 * state goes from one set of arrays into another, which change places: nothing is copied.
 */
export class Stream {
  /**
   * @param {Model} model
   * @param {{channels?: number, rule?: {level: number, budget: number, ceiling: number}}} options Channels
   *   are enhanced side by side, at one level a frame; the rule is made by the model, `within(1)` unless
   *   given.
   */
  constructor(model, { channels = 1, rule = model.within(1) } = {}) {
    this.model = model;
    this.channels = channels;
    const hop = model.facts.hop_length;
    this.audio = new Float32Array(channels * hop); // [channel, hop], as are the enhanced samples
    this.enhanced = new Float32Array(channels * hop);
    this.used = new Float32Array(1);
    this.speech = new Float32Array(1).fill(NaN);
    this.level = new BigInt64Array(1);
    this.budget = new Float32Array(1);
    this.ceiling = new BigInt64Array(1);
    this.rule = rule;
    this.sets = [0, 1].map(() => model.states.map(({ shape }) => zeros([channels, ...shape])));
    this.calls = [this.#bind(0), this.#bind(1)];
    this.turn = 0;
    this.frames = this.usedSum = 0;
    this.busy = false;
    this.#restart();
  }

  /** Who decides, from the next frame on: what `atLevel`, `within` or `automatic` of the model returned. */
  set rule({ level, budget, ceiling }) {
    this.level[0] = BigInt(level);
    this.budget[0] = budget;
    this.ceiling[0] = BigInt(ceiling);
  }

  /** Mean share of compute used by the frames so far, in (0, 1]; NaN before any. */
  get utilization() {
    return this.usedSum / this.frames;
  }

  /**
   * Probability of speech in the newest frame, in [0, 1]; NaN at fixed levels, and in models that do not
   * detect speech.
   */
  get speechProbability() {
    return this.speech[0];
  }

  /**
   * Take a chunk and return what is ready. Await each call before the next.
   *
   * @param {Float32Array[]} chunk Samples of each channel, in [-1, 1] and finite, of any one length.
   * @returns {Promise<Float32Array[]>} Samples of each channel.
   */
  async feed(chunk) {
    const length = chunk[0]?.length;
    if (chunk.length !== this.channels || chunk.some((samples) => samples.length !== length)) {
      throw new InputError(`the chunk is not ${this.channels} channel(s) of one length`);
    }
    return this.#alone(async () => {
      const hop = this.model.facts.hop_length;
      const ready = this.#room(this.filled + length);
      this.fed += length;
      for (let at = 0; at < length; ) {
        const taken = Math.min(length - at, hop - this.filled);
        chunk.forEach((samples, channel) =>
          this.audio.set(samples.subarray(at, at + taken), channel * hop + this.filled),
        );
        at += taken;
        this.filled += taken;
        if (this.filled === hop) await this.#run(ready, hop);
      }
      return ready.arrays.map((samples) => samples.subarray(0, ready.length));
    });
  }

  /** End the signal: return exactly the samples that are missing. The next feed begins a new one. */
  async flush() {
    return this.#alone(async () => {
      const hop = this.model.facts.hop_length;
      const ready = this.#room(this.fed - this.returned);
      while (this.returned < this.fed) {
        for (let channel = 0; channel < this.channels; channel++) {
          this.audio.fill(0, channel * hop + this.filled, (channel + 1) * hop);
        }
        await this.#run(ready, this.fed - this.returned);
      }
      this.#restart();
      return ready.arrays;
    });
  }

  /** Send the frame through the model, and put up to `limit` samples of it that belong to the signal behind `ready`. */
  async #run(ready, limit) {
    const hop = this.model.facts.hop_length;
    const { feeds, fetches } = this.calls[this.turn];
    await this.model.session.run(feeds, fetches);
    this.turn = 1 - this.turn;
    this.filled = 0;
    this.frames += 1;
    this.usedSum += this.used[0];
    const start = Math.min(this.early, hop);
    const end = Math.min(hop, start + limit);
    ready.arrays.forEach((samples, channel) =>
      samples.set(this.enhanced.subarray(channel * hop + start, channel * hop + end), ready.length),
    );
    this.early -= start;
    this.returned += end - start;
    ready.length += end - start;
  }

  #room(length) {
    return { arrays: Array.from({ length: this.channels }, () => new Float32Array(length)), length: 0 };
  }

  #restart() {
    for (const state of this.sets[this.turn]) state.data.fill(0);
    this.early = this.model.facts.lookahead_samples; // samples from before the signal
    this.filled = this.fed = this.returned = 0;
  }

  /** Inputs and outputs of a call, the state going from set `from` into the other. */
  #bind(from) {
    const shape = [this.channels, 1, this.model.facts.hop_length];
    const feeds = {
      audio: new ort.Tensor('float32', this.audio, shape),
      level: new ort.Tensor('int64', this.level, [1]),
      budget: new ort.Tensor('float32', this.budget, []),
      ceiling: new ort.Tensor('int64', this.ceiling, []),
    };
    const fetches = {
      enhanced: new ort.Tensor('float32', this.enhanced, shape),
      utilization: new ort.Tensor('float32', this.used, [1]),
    };
    if (this.model.session.outputNames.includes('speech_probability')) {
      fetches.speech_probability = new ort.Tensor('float32', this.speech, [1]);
    }
    this.model.states.forEach(({ name }, index) => {
      feeds[`state.${name}`] = this.sets[from][index];
      fetches[`next_state.${name}`] = this.sets[1 - from][index];
    });
    return { feeds, fetches };
  }

  async #alone(work) {
    if (this.busy) throw new Error('await each feed or flush of a stream before the next');
    this.busy = true;
    try {
      return await work();
    } finally {
      this.busy = false;
    }
  }
}

function zeros(shape) {
  return new ort.Tensor('float32', new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
}

/**
 * The metadata of an ONNX file, which onnxruntime-node does not hand out.
 *
 * An ONNX file is a protocol buffer; its field 14 is repeated and holds a key (field 1) and a value (field 2).
 *
 * @param {Uint8Array} bytes
 * @returns {Map<string, string>}
 */
export function readMetadata(bytes) {
  const text = new TextDecoder();
  const found = new Map();
  for (const [field, value] of fields(bytes)) {
    if (field !== 14) continue;
    const entry = new Map(fields(value));
    found.set(text.decode(entry.get(1)), text.decode(entry.get(2)));
  }
  return found;
}

/** Number and bytes of each length-delimited field of a message; the others are passed over. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= bytes.length) throw new InputError('the model file is cut off or is no ONNX file');
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === 2) {
      const length = varint();
      if (at + length > bytes.length) throw new InputError('the model file is cut off or is no ONNX file');
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    } else if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else throw new InputError('the model file is no ONNX file');
  }
}
