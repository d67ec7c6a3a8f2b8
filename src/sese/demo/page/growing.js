// A typed array that grows at its end.

export class Growing {
  constructor(Kind, capacity = 1 << 14) {
    this.all = new Kind(capacity);
    this.length = 0;
  }

  push(values) {
    if (this.length + values.length > this.all.length) {
      const larger = new this.all.constructor(Math.max(2 * this.all.length, this.length + values.length));
      larger.set(this.read());
      this.all = larger;
    }
    this.all.set(values, this.length);
    this.length += values.length;
  }

  /** What it holds, valid until the next push. */
  read() {
    return this.all.subarray(0, this.length);
  }
}
