// What a model leaves of its input, in six bands and in the upper part of its band, as in `sese.runtime.model_gain`.

import { rint } from "./points.js";

const EDGES = [0.04, 0.1, 0.18, 0.3, 0.5, 0.67, 0.85]; // of the bands, as shares of the common band
export const UPPER = 4; // first band of the upper part
const SMOOTHING_SECONDS = 0.003;
const SILENT = 1e-10; // mean square below which the upper part is not measured

export class ModelGain {
  /** Measured over each `part` samples at the model's rate. */
  constructor(modelRate, rate, part, lookahead) {
    this.part = part;
    this.skipped = Math.floor(lookahead / part); // parts from before the signal
    const window = Float64Array.from({ length: part }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 1)) / (part + 1)));
    const width = (part * Math.min(modelRate, rate)) / 2 / modelRate; // of the common band, in bins
    const limits = EDGES.map((edge) => Math.max(1, rint(edge * width)));
    limits[limits.length - 1]++; // the last band holds its upper limit
    const waveOf = (wave, bin) => window.map((value, i) => value * wave((2 * Math.PI * bin * i) / part));
    this.waves = limits.slice(1).map((end, band) => {
      const bins = Array.from({ length: end - limits[band] }, (_, i) => limits[band] + i);
      return bins.flatMap((bin) => [waveOf(Math.cos, bin), waveOf(Math.sin, bin)]);
    });
    this.energy = window.reduce((sum, value) => sum + value * value, 0);
    this.keep = Math.exp(-part / modelRate / SMOOTHING_SECONDS);
    this.parts = 0;
    this.last = null;
  }

  /**
   * {gain, heard, left} at the end of each part of the model's output and input, Float32Arrays: the gain in the upper
   * part of the band, and the mean powers of input and output in the bands. Parts from before the signal have none; the
   * first part of the signal has one at its beginning as well.
   */
  add(enhanced, heard) {
    const measured = [];
    for (let from = 0; from < enhanced.length; from += this.part) {
      if (this.parts++ < this.skipped) continue;
      const [input, output] = [this.power(heard, from), this.power(enhanced, from)];
      const had = this.upper(input);
      const silent = had <= SILENT;
      const share = silent ? 1 : Math.sqrt(Math.min(1, this.upper(output) / had));
      const point = { heard: input, left: output };
      if (this.last === null) measured.push({ gain: (this.last = share), ...point });
      if (!silent) this.last = this.keep * this.last + (1 - this.keep) * share;
      measured.push({ gain: this.last, ...point });
    }
    return measured;
  }

  /** Mean power in the upper part, of the powers in the bands. */
  upper(powers) {
    const counts = this.waves.slice(UPPER).map((waves) => waves.length);
    const sum = counts.reduce((total, count, i) => total + count * powers[UPPER + i], 0);
    return sum / counts.reduce((total, count) => total + count, 0);
  }

  /** Mean power in each band of one part. */
  power(samples, from) {
    return this.waves.map((waves) => {
      let energy = 0;
      for (const wave of waves) {
        let sum = 0;
        for (let i = 0; i < wave.length; i++) sum += wave[i] * samples[from + i];
        energy += sum * sum;
      }
      return energy / Math.max(1, waves.length / 2) / this.energy;
    });
  }
}
