// Gains of the bands above, as in `sese.runtime.steady_gains` and `noise_floor`: steady noise stays equally low.

const [QUIET_SECONDS, FACTOR, WINDOW_SECONDS, LEAST, SILENT] = [2, 1, 0.016, 0.003, 1e-12];
const [SMOOTHING_SECONDS, WARM_SECONDS, NOISE_SECONDS, BIAS, PARTS] = [0.025, 0.06, 1.2, 1.6, 8];

export class SteadyGains {
  /** `seconds` between two points, whose powers are measured over `window` seconds. */
  constructor(seconds, window) {
    this.smooth = smooth(seconds, (WINDOW_SECONDS - window) / 2);
    this.smoothNoise = smooth(seconds, SMOOTHING_SECONDS);
    this.lowestPower = lowest(NOISE_SECONDS / seconds);
    this.lowestGain = lowest(QUIET_SECONDS / seconds);
    this.cold = Math.round(WARM_SECONDS / seconds); // points until the power is smooth
  }

  /** Gain of each band at the next point, for the `power` of each and the model's `gain`. */
  next(power, gain) {
    const smoothed = this.smooth(power);
    let noise = this.smoothNoise(smoothed);
    if (this.cold > 0) this.cold--;
    else noise = this.lowestPower(noise);
    const quiet = Math.max(this.lowestGain([gain])[0], Math.min(gain, LEAST));
    return smoothed.map((value, band) => {
      const more = Math.max(0, value / (BIAS * noise[band] + SILENT) - FACTOR);
      return quiet + (more / (1 + more)) * (gain - quiet);
    });
  }
}

/** A function that smooths lists in time, element by element; a time constant of 0 changes nothing. */
function smooth(seconds, constant) {
  const keep = constant > 0 ? Math.exp(-seconds / constant) : 0;
  let last = null;
  return (values) => (last = values.map((value, i) => (last ? keep * last[i] + (1 - keep) * value : value)));
}

/** A function that gives the lowest of the last `count` lists, element by element, in parts that are forgotten. */
function lowest(count) {
  const length = Math.max(1, Math.round(count / PARTS));
  const parts = [];
  let part = null;
  let number = 0;
  const least = (a, b) => (a && b ? a.map((value, i) => Math.min(value, b[i])) : (a ?? b));
  return (values) => {
    if (number === length) {
      parts.push(part);
      if (parts.length > PARTS) parts.shift();
      [part, number] = [null, 0];
    }
    part = least(part, values);
    number++;
    return parts.reduce(least, part);
  };
}
