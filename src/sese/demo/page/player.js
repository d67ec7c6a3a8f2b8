// Plays the signals before and after in step, one of them heard.

const FADE_SECONDS = 0.01;

export class Player {
  /** `changed` is called when it starts, stops or ends. */
  constructor(changed) {
    this.changed = changed;
    this.heard = "after";
    this.buffers = {};
    this.offset = 0; // where it stands, in seconds, when it does not play
    this.sources = null;
  }

  get duration() {
    return this.buffers.before?.duration ?? 0;
  }

  get playing() {
    return this.sources !== null;
  }

  get time() {
    if (!this.playing) return this.offset;
    return Math.min(this.duration, this.context.currentTime - this.started);
  }

  /** Take another signal; `after` may be left out and come later by `setAfter`. */
  load(before, rate) {
    this.stop();
    this.offset = 0;
    this.context ??= new AudioContext();
    this.buffers = { before: toBuffer(before, rate) };
  }

  setAfter(after, rate) {
    const playing = this.playing;
    if (playing) this.pause();
    this.buffers.after = toBuffer(after, rate);
    if (playing) this.play();
  }

  async play() {
    if (!this.buffers.after || this.playing) return;
    if (this.offset >= this.duration - 0.01) this.offset = 0;
    const { context } = this;
    const at = context.currentTime + 0.02;
    this.started = at - this.offset;
    this.sources = {};
    this.gains = {};
    for (const [name, buffer] of Object.entries(this.buffers)) {
      const source = new AudioBufferSourceNode(context, { buffer });
      const gain = new GainNode(context, { gain: name === this.heard ? 1 : 0 });
      source.connect(gain).connect(context.destination);
      source.start(at, this.offset);
      this.sources[name] = source;
      this.gains[name] = gain;
    }
    this.sources.before.onended = () => {
      this.stop();
      this.offset = this.duration;
      this.changed();
    };
    this.changed();
    await context.resume();
  }

  pause() {
    const { time } = this;
    this.stop();
    this.offset = Math.max(0, time);
    this.changed();
  }

  seek(time) {
    const playing = this.playing;
    this.stop();
    this.offset = Math.max(0, Math.min(this.duration, time));
    if (playing) this.play();
    else this.changed();
  }

  /** Hear "before" or "after", at once and without a click. */
  listen(name) {
    this.heard = name;
    if (!this.playing) return;
    for (const [other, { gain }] of Object.entries(this.gains))
      gain.setTargetAtTime(other === name ? 1 : 0, this.context.currentTime, FADE_SECONDS / 3);
  }

  stop() {
    if (!this.playing) return;
    this.sources.before.onended = null;
    for (const source of Object.values(this.sources)) {
      source.stop();
      source.disconnect();
    }
    this.sources = null;
  }
}

function toBuffer(channels, sampleRate) {
  const buffer = new AudioBuffer({ length: channels[0].length, numberOfChannels: channels.length, sampleRate });
  channels.forEach((channel, index) => buffer.copyToChannel(channel, index));
  return buffer;
}
