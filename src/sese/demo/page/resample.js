// Resampling of a signal that arrives in pieces, aligned to the sample: windowed sinc, one filter for each phase.

const CROSSINGS = 48; // zero crossings on each side of the middle
const PASS = 0.94; // of the lower band that the two rates have in common
const BETA = 10; // of the Kaiser window: what is left out lies 100 dB lower

/**
 * From `source` to `target` Hz. Output sample k lies at the time of input sample k * source / target, so there is
 * no delay to remove. Any division into pieces gives the same result.
 */
export class Resampler {
  constructor(source, target) {
    const common = greatestCommonDivisor(source, target);
    [this.up, this.down] = [target / common, source / common];
    this.filters = filtersFor(this.up, this.down);
    this.half = this.filters[0].length / 2;
    this.held = new Float32Array(this.half - 1); // input that is needed still; silence before the signal
    this.start = 1 - this.half; // place of the first of them in the signal
    this.fed = 0;
    this.given = 0;
  }

  /** Take samples; the samples that are ready. */
  feed(samples) {
    const input = joined([this.held, samples]);
    this.fed += samples.length;
    // Sample k needs the input up to floor(k * down / up) + half.
    const last = Math.floor(((this.fed - this.half) * this.up - 1) / this.down);
    const output = new Float32Array(Math.max(0, last + 1 - this.given));
    for (let i = 0; i < output.length; i++) {
      const place = (this.given + i) * this.down;
      const filter = this.filters[place % this.up];
      const from = Math.floor(place / this.up) + 1 - this.half - this.start;
      let sum = 0;
      for (let tap = 0; tap < filter.length; tap++) sum += filter[tap] * input[from + tap];
      output[i] = sum;
    }
    this.given += output.length;
    const next = Math.floor((this.given * this.down) / this.up) + 1 - this.half;
    this.held = input.slice(next - this.start);
    this.start = next;
    return output;
  }

  /** The samples that are missing from `total` in all, by default those that cover the input. */
  flush(total = Math.ceil((this.fed * this.up) / this.down)) {
    const missing = total - this.given;
    const silence = Math.ceil((total * this.down) / this.up) + this.half + 1 - this.fed;
    return this.feed(new Float32Array(Math.max(0, silence))).slice(0, Math.max(0, missing));
  }
}

/** One filter for each phase; tap t of phase p is for the input sample floor(place) + 1 - half + t. */
function filtersFor(up, down) {
  const cutoff = PASS * Math.min(1, up / down); // of half the input's rate
  const half = Math.ceil(CROSSINGS / Math.min(1, up / down));
  return Array.from({ length: up }, (_, phase) => {
    const filter = Float64Array.from({ length: 2 * half }, (_, tap) => {
      const x = tap + 1 - half - phase / up;
      return cutoff * sinc(cutoff * x) * kaiser(x / half, BETA);
    });
    const sum = filter.reduce((total, value) => total + value, 0);
    return filter.map((value) => value / sum); // constants pass unchanged
  });
}

export function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The Kaiser window, which ends at -1 and 1. */
export function kaiser(x, beta) {
  return Math.abs(x) <= 1 ? bessel(beta * Math.sqrt(1 - x * x)) / bessel(beta) : 0;
}

/** Modified Bessel function of order 0. */
function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a, b) {
  return b ? greatestCommonDivisor(b, a % b) : a;
}

/** Parts of a signal, one behind the other. */
export function joined(parts) {
  const all = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
