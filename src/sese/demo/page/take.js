// A signal before and after, whole or growing, with what is drawn of it.

import { Growing } from "./growing.js";
import { FLOOR_DB } from "./spectrum.js";

export class Take {
  /** `name` is that of the file to save; `channels` the number of channels; `rate` in Hz; `length` as expected. */
  constructor(name, channels, rate, length) {
    this.name = name;
    this.rate = rate;
    this.expected = length;
    this.before = Array.from({ length: channels }, () => new Growing(Float32Array, length));
    this.beforeColumns = new Growing(Uint8Array);
    this.clearAfter();
  }

  clearAfter() {
    this.after = this.before.map(() => new Growing(Float32Array, this.expected));
    this.afterColumns = new Growing(Uint8Array);
    this.used = new Growing(Float32Array);
    this.busy = 0; // milliseconds in the model
    this.done = false;
  }

  /** Length in seconds. */
  get seconds() {
    return this.before[0].length / this.rate;
  }

  /** Share that is enhanced, in [0, 1]. */
  get share() {
    return this.before[0].length ? this.after[0].length / this.before[0].length : 0;
  }

  addPart({ channels, columns, used, busy }) {
    channels.forEach((channel, index) => this.after[index].push(channel));
    this.afterColumns.push(columns);
    this.used.push(used);
    this.busy += busy;
  }

  addLive({ before, after, columns, used, busy }) {
    this.before[0].push(before);
    this.beforeColumns.push(columns[0]);
    this.addPart({ channels: [after], columns: columns[1], used, busy });
  }

  /** Mean share of compute. */
  get utilization() {
    return mean(this.used.read());
  }

  /** Time in the model over the time of the frames, each of `seconds`. */
  realTimeFactor(seconds) {
    return this.busy / 1000 / (this.used.length * seconds);
  }

  /** Loudest decibels of the spectrogram before, a multiple of 10. */
  get topDb() {
    const loudest = this.beforeColumns.read().reduce((most, byte) => Math.max(most, byte), 0);
    return Math.max(-50, 10 * Math.ceil((FLOOR_DB * (1 - loudest / 255)) / 10));
  }

  /**
   * Change in dB from before to after in the quietest tenth of the frames, where the noise is alone; NaN where
   * there is only silence.
   */
  get changeDb() {
    const size = Math.round(0.032 * this.rate);
    const powers = [];
    for (let from = 0; from + size <= this.after[0].length; from += size) {
      const [before, after] = [this.before, this.after].map((channels) =>
        mean(channels.map((channel) => mean(channel.read().subarray(from, from + size).map((x) => x * x)))),
      );
      if (before > 1e-12) powers.push([before, after]); // digital silence tells nothing
    }
    powers.sort(([a], [b]) => a - b);
    const quiet = powers.slice(0, Math.ceil(powers.length / 10));
    return 10 * Math.log10((mean(quiet.map(([, after]) => after)) + 1e-12) / mean(quiet.map(([before]) => before)));
  }
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
