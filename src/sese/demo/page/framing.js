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
    this.heardBack = each(channels, () => converter(modelRate, rate));
    this.pending = each(channels, () => new Float32Array()); // less than a frame, at the model's rate
    this.dry = each(channels, () => new Float32Array()); // input that awaits its enhanced counterpart
    this.heard = each(channels, () => new Float32Array(lookahead)); // the same at the model's rate
    this.skip = lookahead; // enhanced samples from before the signal
    this.fed = this.entered = this.framed = this.left = 0; // samples; the first at the signal's rate
  }

  /** Take a piece; the frames that are ready, at the model's rate. */
  take(piece) {
    this.fed += piece[0].length;
    if (this.above) this.dry = this.dry.map((before, c) => joined([before, piece[c]]));
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
    const silence = whole - this.framed - this.pending[0].length - low[0].length;
    return this.frames(low.map((samples) => joined([samples, new Float32Array(silence)])));
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
    this.framed += whole;
    if (this.above) this.heard = this.heard.map((before, c) => joined([before, frames[c]]));
    return frames;
  }

  out(enhanced, total) {
    const { length } = enhanced[0];
    const heard = this.heard.map((samples) => samples.slice(0, length));
    if (this.above) {
      this.heard = this.heard.map((samples) => samples.slice(length));
      this.above.forEach((above, c) => above.add(enhanced[c], heard[c]));
    }
    const early = Math.min(this.skip, length);
    this.skip -= early;
    const end = total === null ? length : Math.min(length, early + this.entered - this.left);
    this.left += end - early;
    const back = (resampler, samples) => {
      const ready = resampler.feed(samples.subarray(early, end));
      return total === null ? ready : joined([ready, resampler.flush(total)]);
    };
    const ready = enhanced.map((samples, c) => back(this.fromModel[c], samples));
    if (!this.above) return ready;
    const lost = heard.map((samples, c) => back(this.heardBack[c], samples)); // what resampling leaves of the input
    const added = this.above.map((above, c) => above.read(lost[c].map((value, i) => this.dry[c][i] - value)));
    this.dry = this.dry.map((samples) => samples.slice(ready[0].length));
    return ready.map((samples, c) => samples.map((value, i) => value + added[c][i]));
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
