// The input above a model's band in narrow bands, each with a gain, as in `sese.runtime.high_bands`.

import { Fourier } from "./fourier.js";
import { kaiser, sinc } from "./resample.js";

const BANDS_PER_OCTAVE = 6;
const HIGHEST = 3; // begin of the last band at most, as a multiple of the end of the model's band
const STOP_DB = 70;

/** Edges of the bands in Hz, one more than there are bands; none where the rate has no room. */
export function edgesOf(modelRate, rate) {
  const [begin, end] = [modelRate / 2, rate / 2];
  const narrowest = (begin * (2 ** (1 / BANDS_PER_OCTAVE) - 1)) / 2;
  const steps = Math.floor(BANDS_PER_OCTAVE * Math.log2(HIGHEST)) + 1;
  const starts = Array.from({ length: steps }, (_, step) => begin * 2 ** (step / BANDS_PER_OCTAVE));
  const inside = starts.filter((start) => start <= end - narrowest);
  return inside.length ? [...inside, end] : [];
}

/** At each point of time `take` the power of each band, and `apply` gains to them. */
export class HighBands {
  /** Two points are at most `spacing` samples apart. */
  constructor(spacing, edges, rate) {
    Object.assign(this, { spacing, size: quickSize(2 * spacing) });
    this.fourier = new Fourier(this.size);
    this.responses = this.responsesFor(edges, rate, Math.max(1, Math.floor(spacing / 2)));
    const bins = Array.from({ length: this.size / 2 }, (_, bin) => bin);
    this.first = bins.find((bin) => this.responses.some((values) => Math.abs(values[bin]) > 10 ** (-STOP_DB / 20)));
    this.bandOf = bins.map((bin) => edges.findLastIndex((edge) => edge <= (bin * rate) / this.size));
    this.counts = edges.slice(1).map((_, number) => Math.max(1, this.bandOf.filter((of) => of === number).length));
  }

  /** Mean power in each band of a signal around `here`, from one neighbour of this point to the other. */
  take(signal, before, here, after) {
    const { size, spacing, first, bandOf } = this;
    this.window = Float64Array.from({ length: 2 * spacing }, (_, i) => {
      const offset = i - spacing;
      const part = Math.abs(offset) / (offset < 0 ? here - before : after - here);
      return Math.cos((Math.PI / 2) * Math.min(part, 1)); // the root of a Hann window
    });
    const block = new Float64Array(size);
    this.window.forEach((weight, i) => (block[i] = weight * signal[here - spacing + i]));
    this.spectrum = this.fourier.forward(block, new Float64Array(size));
    const [real, imaginary] = this.spectrum;
    const power = this.counts.map(() => 0);
    for (let bin = first; bin < size / 2; bin++)
      if (bandOf[bin] >= 0) power[bandOf[bin]] += real[bin] ** 2 + imaginary[bin] ** 2;
    // The spacing is the energy of the window.
    return power.map((sum, number) => sum / this.counts[number] / spacing);
  }

  /** The signal around the point taken, from `spacing` samples before it on, by the gain of each band. */
  apply(gains) {
    const { size, first, responses } = this;
    const [real, imaginary] = this.spectrum.map(() => new Float64Array(size));
    for (let bin = first; bin <= size / 2; bin++) {
      const response = gains.reduce((sum, gain, number) => sum + gain * responses[number][bin], 0);
      const both = bin < size / 2 ? 2 : 1; // the other half of the spectrum mirrors this one
      real[bin] = both * response * this.spectrum[0][bin];
      imaginary[bin] = both * response * this.spectrum[1][bin];
    }
    const [filtered] = this.fourier.inverse(real, imaginary);
    return Float32Array.from(this.window, (weight, i) => weight * filtered[i]);
  }

  /** Real frequency response of each band; the first begins above its edge. */
  responsesFor(edges, rate, reach) {
    const { size } = this;
    const width = ((STOP_DB - 7.95) / (2.285 * 2 * Math.PI * 2 * reach)) * rate; // Kaiser's formula
    const cuts = [Math.min(edges[0] + width / 2, edges[1]), ...edges.slice(1, -1)];
    const taps = Array.from({ length: 2 * reach + 1 }, (_, i) => i - reach);
    const lows = cuts.map((cut) => {
      const kernel = taps.map((tap) => sinc((2 * cut * tap) / rate) * kaiser(tap / reach, 0.1102 * (STOP_DB - 8.7)));
      const sum = kernel.reduce((total, value) => total + value, 0);
      return kernel.map((value) => value / sum);
    });
    lows.push(taps.map((tap) => (tap === 0 ? 1 : 0)));
    return cuts.map((_, number) => {
      const placed = new Float64Array(size);
      taps.forEach((tap, i) => (placed[(tap + size) % size] = lows[number + 1][i] - lows[number][i]));
      return this.fourier.forward(placed, new Float64Array(size))[0];
    });
  }
}

/** The lowest even number from `least` on without prime factors above 5. */
function quickSize(least) {
  for (let size = least + (least % 2); ; size += 2) {
    let rest = size;
    for (const factor of [2, 3, 5]) while (rest % factor === 0) rest /= factor;
    if (rest === 1) return size;
  }
}
