// The audio thread of the microphone: blocks go to the worker, what comes back is played.
//
// What has come back waits in a queue, long enough for the worker's delays: it starts at two blocks and
// grows by one whenever it ran empty. When it has grown longer than needed, a block is left out.

const REPORT_SECONDS = 0.1;
const SLACK = 4; // blocks more than wanted before one is left out
const LONGEST = 32; // blocks

class Bridge extends AudioWorkletProcessor {
  constructor({ processorOptions: { hop } }) {
    super();
    this.hop = hop;
    this.toWorker = null; // a port, which comes with the first message
    this.block = new Float32Array(hop);
    this.filled = 0;
    this.queue = [];
    this.at = 0; // place in the first block of the queue
    this.wanted = 2;
    this.waiting = true;
    this.gaps = 0;
    this.gains = { before: 0, after: 0 }; // they follow `aims` smoothly
    this.aims = { before: 0, after: 0 };
    this.running = true;
    this.reported = 0;
    this.port.onmessage = ({ data }) => {
      if (data.worker) {
        this.toWorker = data.worker;
        this.toWorker.onmessage = (message) => this.queue.push(message.data);
      }
      if (data.aims) this.aims = data.aims;
      if (data.end) this.running = false;
    };
  }

  process([input], [output]) {
    const heard = input[0];
    const played = output[0];
    for (let i = 0; i < played.length; i++) {
      this.block[this.filled++] = heard ? heard[i] : 0;
      if (this.filled === this.hop) {
        this.toWorker?.postMessage(this.block, [this.block.buffer]);
        this.block = new Float32Array(this.hop);
        this.filled = 0;
      }
      played[i] = this.next();
    }
    for (const other of output.slice(1)) other.set(played);
    if (currentTime - this.reported >= REPORT_SECONDS) {
      this.reported = currentTime;
      this.port.postMessage({ waiting: this.queue.length * this.hop - this.at + this.filled, gaps: this.gaps });
    }
    return this.running;
  }

  next() {
    for (const name of ["before", "after"]) this.gains[name] += 0.01 * (this.aims[name] - this.gains[name]);
    if (this.waiting) {
      if (this.queue.length < this.wanted) return 0;
      this.waiting = false;
    }
    const [{ before, after }] = this.queue;
    const sample = this.gains.before * before[this.at] + this.gains.after * after[this.at];
    if (++this.at === this.hop) {
      this.at = 0;
      this.queue.shift();
      while (this.queue.length > this.wanted + SLACK) this.queue.shift();
      if (!this.queue.length) {
        this.waiting = true;
        this.gaps++;
        this.wanted = Math.min(LONGEST, this.wanted + 1);
      }
    }
    return sample;
  }
}

registerProcessor("bridge", Bridge);
