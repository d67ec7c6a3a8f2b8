// A signal at any rate as whole frames for a model, and back, as in `sese.runtime.framing`.

import { BandAbove } from "./band_above.js";
import { joined, Resampler } from "./resample.js";

/**
 * For a model described by `facts` and a signal of `channels` channels at `rate` Hz; `head` are the weights of the
 * network for the band above. For each piece `take` its frames and `give` them back enhanced; at the end `finish` and
 * `conclude`. Signals are a Float32Array for each channel. The output is as long as the input and aligned with it.
 */
export class Framing {
  constructor(facts, rate, channels, head) {
    const { sample_rate: modelRate, lookahead_samples: lookahead } = facts;
    this.facts = facts;
    this.above = rate === modelRate ? null : each(channels, () => new BandAbove(facts, rate, head));
    this.toModel = each(channels, () => converter(rate, modelRate));
    this.fromModel = each(channels, () => converter(modelRate, rate));
    this.pending = each(channels, () => new Float32Array()); // less than a frame, at the model's rate
    this.heard = each(channels, () => new Float32Array(lookahead)); // frames that await their enhanced counterparts
    this.skip = lookahead; // enhanced samples from before the signal
    this.fed = this.entered = this.left = 0; // samples; the first at the signal's rate
  }

  /** Take a piece; the frames that are ready, at the model's rate. */
  take(piece) {
    this.fed += piece[0].length;
    this.above?.forEach((above, c) => above.feed(piece[c]));
    const low = piece.map((samples, c) => this.toModel[c].feed(samples));
    this.entered += low[0].length;
    return this.frames(low);
  }

  /** The last frames, followed by silence. */
  finish() {
    const { hop_length: hop, lookahead_samples: lookahead } = this.facts;
    this.above?.forEach((above) => above.finish());
    const low = this.toModel.map((resampler) => resampler.flush());
    this.entered += low[0].length;
    const whole = this.entered ? Math.ceil((this.entered + lookahead) / hop) * hop : 0;
    const silence = new Float32Array(whole - this.entered);
    return this.frames(low.map((samples) => joined([samples, silence])));
  }

  /** Take enhanced frames; the samples that are ready. */
  give(enhanced) {
    return this.out(enhanced, null);
  }

  /** Take the last enhanced frames; exactly the samples that are missing. */
  conclude(enhanced) {
    return this.out(enhanced, this.fed);
  }

  frames(low) {
    const { hop_length: hop } = this.facts;
    const audio = low.map((samples, c) => joined([this.pending[c], samples]));
    const whole = Math.floor(audio[0].length / hop) * hop;
    this.pending = audio.map((samples) => samples.slice(whole));
    const frames = audio.map((samples) => samples.slice(0, whole));
    if (this.above) this.heard = this.heard.map((before, c) => joined([before, frames[c]]));
    return frames;
  }

  out(enhanced, total) {
    const { length } = enhanced[0];
    if (this.above) {
      enhanced = enhanced.map((samples, c) => this.above[c].add(samples, this.heard[c].subarray(0, length)));
      this.heard = this.heard.map((samples) => samples.slice(length));
    }
    const early = Math.min(this.skip, length);
    this.skip -= early;
    const end = total === null ? length : Math.min(length, early + this.entered - this.left);
    this.left += end - early;
    const ready = enhanced.map((samples, c) => {
      const begun = this.fromModel[c].feed(samples.subarray(early, end));
      return total === null ? begun : joined([begun, this.fromModel[c].flush(total)]);
    });
    this.above?.forEach((above, c) => above.read(ready[c].length).forEach((value, i) => (ready[c][i] += value)));
    return ready;
  }
}

function each(count, make) {
  return Array.from({ length: count }, make);
}

/** A resampler, or between equal rates what passes all on. */
function converter(source, target) {
  if (source !== target) return new Resampler(source, target);
  return { feed: (samples) => samples, flush: () => new Float32Array() };
}
