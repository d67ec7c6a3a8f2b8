// WAV files, 16-bit PCM.

/** `channels` of float samples in [-1, 1] as a Blob; what lies beyond is clipped. */
export function toWav(channels, rate) {
  const length = channels[0].length;
  const bytes = 2 * channels.length * length;
  const view = new DataView(new ArrayBuffer(44 + bytes));
  const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, channels.length, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * channels.length * rate, true);
  view.setUint16(32, 2 * channels.length, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, bytes, true);
  const samples = new Int16Array(view.buffer, 44); // every browser runs on little endian machines
  for (let i = 0; i < length; i++) {
    for (let c = 0; c < channels.length; c++) {
      const value = Math.max(-1, Math.min(1, channels[c][i]));
      samples[i * channels.length + c] = Math.max(-32768, Math.min(32767, Math.round(32768 * value)));
    }
  }
  return new Blob([view.buffer], { type: "audio/wav" });
}
