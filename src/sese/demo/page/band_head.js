// Gains of the bands above, as in `sese.runtime.band_head` and `band_evidence`: a small recurrent network.

import { UPPER } from "./model_gain.js";

const BANDS = 10; // above the model's band at 48 kHz
const REFERENCE_SECONDS = 1; // time constant of the running mean
const SMOOTHING_SECONDS = 0.025; // of the power that a floor is the lowest of
const RISE = 1; // of a floor in powers of ten per second
const BIAS = 1.6; // mean power of steady noise over its floor
const SILENT = 1e-13; // mean power that is added to all powers
const LOUDEST = 1e20; // highest floor: silence counts as this much
const [LOWEST, HIGHEST, LOWEST_GAIN, LOWEST_EXCESS] = [-6, 3, -3, -2];
const PASSING = 50;

/** Load the weights of the network, by name: {shape, values}. */
export async function loadHead(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} cannot be loaded (${response.status})`);
  const bytes = await response.arrayBuffer(); // a safetensors file
  const begin = 8 + Number(new DataView(bytes).getBigUint64(0, true));
  const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, begin - 8)));
  delete facts.__metadata__;
  const arrays = Object.entries(facts).map(([name, { shape, data_offsets: [from, to] }]) => {
    const values = new Float32Array(bytes.slice(begin + from, begin + to));
    return [name, { shape, values }];
  });
  return Object.fromEntries(arrays);
}

export class BandHead {
  /** With the `weights` that `loadHead` returns, and `seconds` between two points. */
  constructor(weights, seconds) {
    this.keep = Math.exp(-seconds / REFERENCE_SECONDS);
    this.smooth = Math.exp(-seconds / SMOOTHING_SECONDS);
    this.rise = 10 ** (RISE * seconds);
    this.ofInput = linear(weights["gru.weight_ih_l0"], weights["gru.bias_ih_l0"]);
    this.ofState = linear(weights["gru.weight_hh_l0"], weights["gru.bias_hh_l0"]);
    this.ofGain = linear(weights["gain.weight"], weights["gain.bias"]);
    this.units = weights["gru.weight_hh_l0"].shape[1];
    this.state = new Float64Array(this.units);
    this.mean = null;
    this.levels = []; // smoothed powers
    this.floors = Array(BANDS).fill(LOUDEST);
  }

  /** Gain of each band at the next point, for the power in each, and the powers that the model `heard` and `left`. */
  next(above, heard, left) {
    const total = meanOf(heard) + meanOf(above);
    this.mean = this.mean === null ? total : this.keep * this.mean + (1 - this.keep) * total;
    const reference = logOf(this.mean);
    const relative = (power) => clamp(logOf(power) - reference, LOWEST, HIGHEST);
    const gains = heard.map((power, band) => clamp((logOf(left[band]) - logOf(power)) / 2, LOWEST_GAIN, 0));
    const excess = above.map((power, band) => this.excess(power, band));
    const padded = (values, silent) => [...values, ...Array(BANDS - values.length).fill(silent)];
    const over = padded(excess, LOWEST_EXCESS);
    this.step([...heard.map(relative), ...gains, ...padded(above.map(relative), LOWEST), ...over]);
    const removed = Math.min(-PASSING * Math.min(...gains), 1);
    const followed = 10 ** meanOf(gains.slice(UPPER));
    const logits = this.ofGain([...this.state, ...over]);
    return above.map((_, band) => (1 - sigmoid(-logits[band]) * removed) * followed);
  }

  /** What the next power of a band exceeds steady noise by, relative to it, as a power of ten. */
  excess(power, band) {
    const over = (power + SILENT) / this.steadyNoise(power, band);
    return clamp(Math.log10(Math.max(over - 1, 10 ** LOWEST_EXCESS)), LOWEST_EXCESS, HIGHEST);
  }

  /** Power of steady noise in a band, for its next power. */
  steadyNoise(power, band) {
    this.levels[band] = this.smooth * (this.levels[band] ?? power) + (1 - this.smooth) * power;
    const heard = power > SILENT ? this.levels[band] + SILENT : LOUDEST;
    this.floors[band] = Math.min(this.floors[band] * this.rise, heard);
    return BIAS * this.floors[band];
  }

  /** The gated recurrent unit. */
  step(values) {
    const [input, before] = [this.ofInput(values), this.ofState(this.state)];
    const { units, state } = this;
    for (let unit = 0; unit < units; unit++) {
      const reset = sigmoid(input[unit] + before[unit]);
      const kept = sigmoid(input[units + unit] + before[units + unit]);
      const fresh = Math.tanh(input[2 * units + unit] + reset * before[2 * units + unit]);
      state[unit] = fresh + kept * (state[unit] - fresh);
    }
  }
}

/** The function of a linear layer, whose weights are [output, input]. */
function linear({ shape: [outputs, inputs], values }, { values: bias }) {
  return (input) => {
    const output = Float64Array.from(bias);
    for (let row = 0; row < outputs; row++)
      for (let column = 0; column < inputs; column++) output[row] += values[row * inputs + column] * input[column];
    return output;
  };
}

function meanOf(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function logOf(power) {
  return Math.log10(power + SILENT);
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
