// Short-time spectra as bytes: 0 is FLOOR_DB of full scale or less, 255 is 0 dB.

export const FLOOR_DB = -120;
const SECONDS = 0.032; // of a window, which is then rounded to a power of two
const STEPS = 4; // columns a window

function windowOf(rate) {
  return 2 ** Math.round(Math.log2(SECONDS * rate));
}

export function columnsPerSecond(rate) {
  return (rate * STEPS) / windowOf(rate);
}

export function binsOf(rate) {
  return windowOf(rate) / 2 + 1;
}

/** Mean of channels; of one channel, that one itself. */
export function meanOf(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
}

/** Spectra of a signal that arrives in pieces. Column k has its middle at sample k * step. */
export class Analyser {
  constructor(rate) {
    this.size = windowOf(rate);
    this.step = this.size / STEPS;
    this.bins = this.size / 2 + 1;
    this.pending = new Float32Array(this.size / 2); // the first window is centred on the first sample
    this.window = Float32Array.from({ length: this.size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / this.size));
    this.cosines = Float64Array.from({ length: this.size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / this.size));
    this.sines = Float64Array.from({ length: this.size / 2 }, (_, i) => -Math.sin((2 * Math.PI * i) / this.size));
    this.real = new Float64Array(this.size);
    this.imaginary = new Float64Array(this.size);
  }

  /** Take samples; columns [column, bin] that are ready; all that are left where these are the `last`. */
  feed(samples, last) {
    const tail = last ? this.size / 2 : 0;
    const all = new Float32Array(this.pending.length + samples.length + tail);
    all.set(this.pending);
    all.set(samples, this.pending.length);
    const count = Math.max(0, Math.floor((all.length - this.size) / this.step) + 1);
    const columns = new Uint8Array(count * this.bins);
    for (let k = 0; k < count; k++) {
      for (let i = 0; i < this.size; i++) this.real[i] = all[k * this.step + i] * this.window[i];
      this.imaginary.fill(0);
      this.transform();
      for (let bin = 0; bin < this.bins; bin++) {
        const power = (this.real[bin] ** 2 + this.imaginary[bin] ** 2) * (4 / this.size) ** 2;
        const db = 10 * Math.log10(power + 1e-13); // a sine at full scale has 0 dB
        columns[k * this.bins + bin] = Math.max(0, Math.min(255, Math.round(255 * (1 - db / FLOOR_DB))));
      }
    }
    this.pending = all.slice(count * this.step);
    return columns;
  }

  /** Radix-2 Fourier transform in place. */
  transform() {
    const { size, real, imaginary } = this;
    for (let i = 1, j = 0; i < size; i++) {
      let bit = size >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) {
        [real[i], real[j]] = [real[j], real[i]];
        [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
      }
    }
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const c = this.cosines[k * stride];
          const s = this.sines[k * stride];
          const a = start + k;
          const b = a + half;
          const x = real[b] * c - imaginary[b] * s;
          const y = real[b] * s + imaginary[b] * c;
          real[b] = real[a] - x;
          imaginary[b] = imaginary[a] - y;
          real[a] += x;
          imaginary[a] += y;
        }
      }
    }
  }
}
