// What lies above a model's band, as in `sese.runtime.band_above`: narrow bands with gains of their own.

import { BandHead } from "./band_head.js";
import { edgesOf, HighBands } from "./high_bands.js";
import { ModelGain } from "./model_gain.js";
import { Points } from "./points.js";
import { joined } from "./resample.js";

/**
 * For a model described by `facts`, one channel at `rate` Hz, and the weights of the network that chooses the gains.
 * Signals are Float32Arrays. Let g be the model's gain in the upper part of its band: the result is the model's output,
 * less g times what the model heard, and g times the input. The bands add what their gains differ from g. All gains
 * move in straight lines between points of time.
 */
export class BandAbove {
  constructor(facts, rate, head) {
    this.points = new Points(facts, rate);
    const { part, close, seconds, spacing } = this.points;
    this.gain = new ModelGain(facts.sample_rate, rate, part);
    const edges = edgesOf(facts.sample_rate, rate);
    this.bands = edges.length && close ? new HighBands(spacing, edges, rate) : null;
    this.head = new BandHead(head, seconds);
    this.parts = 0; // of the model's frames so far
    this.last = null; // the model's gain at the last point
    this.begin = -2 * spacing; // sample of the first of `input`
    this.input = new Float32Array(2 * spacing);
    this.tail = new Float32Array(spacing); // of the bands, after the last point
    this.ready = new Float32Array();
  }

  /** Take the next samples of the input. */
  feed(audio) {
    this.input = joined([this.input, audio]);
  }

  /** End the input: what follows is silence. */
  finish() {
    this.feed(new Float32Array(this.points.frame + this.points.spacing + 1));
  }

  /** Take the model's next frames and their input; the frames, less the model's gain times that input. */
  add(enhanced, heard) {
    const { part, skipped, spacing } = this.points;
    const lower = enhanced.slice();
    const made = [this.ready];
    for (let from = 0; from < heard.length; from += part) {
      const number = this.parts++;
      if (number < skipped) continue; // before the signal
      const measured = this.gain.next(enhanced.subarray(from, from + part), heard.subarray(from, from + part));
      const gains = moving(this.last ?? measured.gain, measured.gain, part);
      gains.forEach((gain, i) => (lower[from + i] -= gain * heard[from + i]));
      made.push(this.between(number, measured));
      this.last = measured.gain;
    }
    this.ready = joined(made);
    const drop = Math.max(0, this.points.at(this.parts + 1) - spacing - this.begin);
    this.input = this.input.slice(drop);
    this.begin += drop;
    return lower;
  }

  /** What to add to the next samples; all of them have been added. */
  read(count) {
    const ready = this.ready.subarray(0, count);
    this.ready = this.ready.subarray(count);
    return ready;
  }

  /** The samples from a point on up to the next, for what was measured in this time. */
  between(number, { gain, heard, left }) {
    const [start, end, after] = [0, 1, 2].map((step) => this.points.at(number + step));
    const made = moving(this.last ?? gain, gain, end - start);
    made.forEach((value, i) => (made[i] = value * this.input[start - this.begin + i]));
    if (this.bands) {
      const power = this.bands.take(this.input, ...[start, end, after].map((at) => at - this.begin));
      const filtered = this.bands.apply(this.head.next(power, heard, left).map((value) => value - gain));
      const rising = filtered.subarray(this.points.spacing - made.length);
      made.forEach((value, i) => (made[i] = value + this.tail[i] + rising[i]));
      this.tail = filtered.subarray(this.points.spacing);
    }
    return made.subarray(Math.max(0, -start));
  }
}

/** Gains in a straight line from one, inclusive, to another, exclusive. */
function moving(begin, end, count) {
  return Float32Array.from({ length: count }, (_, i) => begin + ((end - begin) * i) / count);
}
