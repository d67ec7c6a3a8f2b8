// What lies above a model's band, as in `sese.runtime.band_above`: narrow bands with gains of their own.

import { BandHead } from "./band_head.js";
import { edgesOf, HighBands } from "./high_bands.js";
import { ModelGain } from "./model_gain.js";
import { Points } from "./points.js";

/**
 * For a model described by `facts`, one channel at `rate` Hz, and the weights of the network that chooses the gains.
 * Signals are Float32Arrays.
 */
export class BandAbove {
  constructor(facts, rate, head) {
    this.points = new Points(facts, rate);
    this.gain = new ModelGain(facts.sample_rate, rate, this.points.part, facts.lookahead_samples);
    const edges = edgesOf(facts.sample_rate, rate);
    this.bands = edges.length && this.points.close ? new HighBands(this.points, edges, rate) : null;
    this.head = new BandHead(head, this.points.seconds);
    this.number = this.gain.skipped; // of the next point
    this.at = []; // samples of the points
    this.gains = []; // the model's gain there
    this.given = 0;
    this.place = 0; // of the last point before the next sample
  }

  /** Take the next samples of the input. */
  feed(audio) {
    this.bands?.feed(audio);
  }

  /** End the input: what follows is silence. */
  finish() {
    this.feed(new Float32Array(this.points.frame + this.points.reach + 1));
  }

  /** Take the model's next frames, and the input that they belong to. */
  add(enhanced, heard) {
    for (const { gain, heard: input, left } of this.gain.add(enhanced, heard)) {
      const [before, at, after] = [-1, 0, 1].map((step) => this.points.at(this.number + step));
      this.number++;
      this.at.push(at);
      this.gains.push(gain);
      if (!this.bands) continue;
      const power = this.bands.take(at);
      // Before the signal there was no noise. The rest of the input has the model's gain already.
      const chosen = at < this.points.reach ? power.map(() => gain) : this.head.next(power, input, left);
      this.bands.apply(chosen.map((value) => value - gain), before, at, after);
    }
    this.bands?.forget(this.points.at(this.number));
  }

  /** What to add to the model's output, for the next samples of what resampling loses of the input. */
  read(rest) {
    if (!this.at.length) return rest;
    const { at, gains } = this;
    const added = new Float32Array(rest.length);
    for (let i = 0; i < rest.length; i++) {
      const time = this.given + i;
      while (this.place + 1 < at.length && at[this.place + 1] <= time) this.place++;
      const [from, to] = [this.place, Math.min(this.place + 1, at.length - 1)];
      const part = to > from ? Math.max(0, time - at[from]) / (at[to] - at[from]) : 0;
      const gain = gains[from] + part * (gains[to] - gains[from]);
      added[i] = gain * rest[i];
    }
    this.given += rest.length;
    this.bands?.read(rest.length).forEach((value, i) => (added[i] += value));
    return added;
  }
}
