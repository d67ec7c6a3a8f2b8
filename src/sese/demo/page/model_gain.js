// The gain of a model in the upper part of its band, as in `sese.runtime.model_gain`.

import { rint } from "./points.js";

const BAND = [0.5, 0.85]; // the part that is measured, as shares of the common band
const SMOOTHING_SECONDS = 0.003;
const SILENT = 1e-10; // mean square below which a part is not measured

export class ModelGain {
  /** Measured over each `part` samples at the model's rate. */
  constructor(modelRate, rate, part, lookahead) {
    this.part = part;
    this.skipped = Math.floor(lookahead / part); // parts from before the signal
    const window = Float64Array.from({ length: part }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 1)) / (part + 1)));
    const width = (part * Math.min(modelRate, rate)) / 2 / modelRate; // of the common band, in bins
    const [low, high] = BAND.map((edge) => Math.max(1, rint(edge * width)));
    this.waves = [];
    for (let bin = low; bin <= Math.max(low, high); bin++)
      for (const wave of [Math.cos, Math.sin])
        this.waves.push(window.map((value, i) => value * wave((2 * Math.PI * bin * i) / part)));
    this.silent = (SILENT * window.reduce((sum, value) => sum + value * value, 0) * this.waves.length) / 2;
    this.keep = Math.exp(-part / modelRate / SMOOTHING_SECONDS);
    this.parts = 0;
    this.last = null;
  }

  /**
   * Gain at the end of each part of the model's output and input, a Float32Array for each channel. Parts from before
   * the signal have none; the first part of the signal has one at its beginning as well.
   */
  add(enhanced, heard) {
    const gains = [];
    for (let from = 0; from < enhanced[0].length; from += this.part) {
      if (this.parts++ < this.skipped) continue;
      const had = this.energy(heard, from);
      const silent = had <= this.silent * heard.length;
      const share = silent ? 1 : Math.sqrt(Math.min(1, this.energy(enhanced, from) / had));
      if (this.last === null) gains.push((this.last = share));
      if (!silent) this.last = this.keep * this.last + (1 - this.keep) * share;
      gains.push(this.last);
    }
    return gains;
  }

  /** Energy of the measured band of one part, over all channels. */
  energy(channels, from) {
    let energy = 0;
    for (const channel of channels)
      for (const wave of this.waves) {
        let sum = 0;
        for (let i = 0; i < wave.length; i++) sum += wave[i] * channel[from + i];
        energy += sum * sum;
      }
    return energy;
  }
}
