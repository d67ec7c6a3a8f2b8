// What a model leaves of its input, in six bands and in the upper part of its band, as in `sese.runtime.model_gain`.

import { rint } from "./points.js";

const EDGES = [0.04, 0.1, 0.18, 0.3, 0.5, 0.67, 0.85]; // of the bands, as shares of the common band
export const UPPER = 4; // first band of the upper part
const SMOOTHING_SECONDS = 0.003;
const SILENT = 1e-10; // mean square below which the upper part is not measured

export class ModelGain {
  /** Measured over each `part` samples at the model's rate. */
  constructor(modelRate, rate, part) {
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
    const times = part / modelRate / SMOOTHING_SECONDS;
    this.keep = times < 2 ? Math.exp(-times) : 0; // longer parts need no smoothing
    this.last = null;
  }

  /**
   * {gain, heard, left} for the next part of the model's output and input: the gain in the upper part of the band, and
   * the mean powers of input and output in the bands.
   */
  next(enhanced, heard) {
    const [left, input] = [this.power(enhanced), this.power(heard)];
    const had = this.upper(input);
    const silent = had <= SILENT;
    const share = silent ? 1 : Math.sqrt(Math.min(this.upper(left) / had, 1));
    if (this.last === null) this.last = share;
    else if (!silent) this.last = this.keep * this.last + (1 - this.keep) * share;
    return { gain: this.last, heard: input, left };
  }

  /** Mean power in the upper part, of the powers in the bands. */
  upper(powers) {
    const counts = this.waves.slice(UPPER).map((waves) => waves.length);
    const sum = counts.reduce((total, count, i) => total + count * powers[UPPER + i], 0);
    return sum / counts.reduce((total, count) => total + count, 0);
  }

  /** Mean power in each band of one part. */
  power(samples) {
    return this.waves.map((waves) => {
      let energy = 0;
      for (const wave of waves) {
        let sum = 0;
        for (let i = 0; i < wave.length; i++) sum += wave[i] * samples[i];
        energy += sum * sum;
      }
      return energy / Math.max(1, waves.length / 2) / this.energy;
    });
  }
}
