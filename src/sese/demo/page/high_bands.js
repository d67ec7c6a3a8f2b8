// The input above a model's band in narrow bands, each with a gain, as in `sese.runtime.high_bands`.

import { Fourier } from "./fourier.js";
import { joined, kaiser, sinc } from "./resample.js";

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

export class HighBands {
  constructor(points, edges, rate) {
    Object.assign(this, { points, size: 2 * points.reach });
    this.fourier = new Fourier(this.size);
    this.responses = this.responsesFor(edges, rate, points.reach - points.spacing);
    this.bandOf = Array.from({ length: this.size / 2 }, (_, bin) => edges.findLastIndex((edge) => edge <= (bin * rate) / this.size));
    this.counts = edges.slice(1).map((_, number) => Math.max(1, this.bandOf.filter((of) => of === number).length));
    const silence = this.size + points.frame; // before the signal
    this.begin = -silence; // sample of the first of `heard`
    this.heard = new Float32Array(silence);
    this.given = 0;
    this.ready = new Float32Array(); // from sample `given` on
  }

  feed(audio) {
    this.heard = joined([this.heard, audio]);
  }

  /** Mean power in each band around a sample; `apply` then sets its gains. */
  take(at) {
    const from = at - this.points.reach - this.begin;
    this.spectrum = this.fourier.forward(this.heard.subarray(from, from + this.size), new Float32Array(this.size));
    const power = this.counts.map(() => 0);
    const { size, bandOf } = this;
    for (const part of this.spectrum)
      for (let bin = 1; bin < size / 2; bin++) {
        if (bandOf[bin] < 0) continue; // below all bands
        const mirror = size - bin;
        const above = part[bin] - 0.5 * (part[bin - 1] + part[bin + 1]); // a Hann window, twice
        const below = part[mirror] - 0.5 * (part[mirror - 1] + part[(mirror + 1) % size]);
        power[bandOf[bin]] += (above * above + below * below) / 2;
      }
    // The window has a mean square of 3/2.
    return power.map((sum, number) => sum / this.counts[number] / (1.5 * this.size));
  }

  /** Set the gain of each band at the point taken, of which the neighbours are at `before` and `after`. */
  apply(gains, before, at, after) {
    const { size, points } = this;
    const { reach, spacing } = points;
    const response = new Float64Array(size);
    this.responses.forEach((values, number) => {
      for (let bin = 0; bin < size; bin++) response[bin] += gains[number] * values[bin];
    });
    const start = at - spacing - this.given;
    const [real, imaginary] = this.spectrum;
    for (let bin = 0; bin < size; bin++) {
      real[bin] *= response[bin];
      imaginary[bin] *= response[bin];
    }
    const [filtered] = this.fourier.inverse(real, imaginary);
    const missing = start + 2 * spacing - this.ready.length;
    if (missing > 0) this.ready = joined([this.ready, new Float32Array(missing)]);
    for (let i = Math.max(0, -start); i < 2 * spacing; i++) {
      const offset = i - spacing;
      const weight = 1 - Math.abs(offset) / (offset < 0 ? at - before : after - at);
      if (weight > 0) this.ready[start + i] += weight * filtered[reach + offset];
    }
  }

  /** Forget the input that no point from `next` on needs. */
  forget(next) {
    const drop = Math.max(0, next - this.points.reach - this.begin);
    this.heard = this.heard.slice(drop);
    this.begin += drop;
  }

  /** The next samples; they lie before the last point applied. */
  read(count) {
    const ready = joined([this.ready, new Float32Array(Math.max(0, count - this.ready.length))]);
    this.ready = ready.slice(count);
    this.given += count;
    return ready.subarray(0, count);
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
