// The sample rate of an audio file, from its header: browsers decode at any rate that they are told, and tell none.

const MP3_RATES = [
  [11025, 12000, 8000], // MPEG 2.5
  null,
  [22050, 24000, 16000], // MPEG 2
  [44100, 48000, 32000], // MPEG 1
];

/** Rate in Hz of a file's bytes (an ArrayBuffer): WAV, FLAC, MP3, Ogg, MP4; 0 where it is not told. */
export function rateOf(buffer) {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  const has = (word, at) => [...word].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));
  try {
    if ((has("RIFF", 0) || has("RF64", 0)) && has("WAVE", 8)) return ofWave(view, has);
    const start = has("ID3", 0) ? 10 + synchsafe(bytes, 6) : 0;
    if (has("fLaC", start)) return view.getUint32(start + 18) >>> 12;
    if (has("OggS", 0)) {
      if (has("\x01vorbis", 28)) return view.getUint32(40, true);
      return has("OpusHead", 28) ? 48000 : 0;
    }
    if (has("ftyp", 4)) return ofMp4(bytes, view, has);
    return ofMp3(bytes, start);
  } catch (error) {
    if (error instanceof RangeError) return 0; // the header is cut off
    throw error;
  }
}

function ofWave(view, has) {
  for (let at = 12; at + 8 <= view.byteLength; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1))
    if (has("fmt ", at)) return view.getUint32(at + 12, true);
  return 0;
}

function ofMp4(bytes, view, has) {
  for (let at = bytes.indexOf(0x6d, 8); at >= 0 && at + 30 <= bytes.length; at = bytes.indexOf(0x6d, at + 1))
    if (has("mp4a", at) && view.getUint16(at + 28) >= 8000) return view.getUint16(at + 28);
  return 0;
}

function ofMp3(bytes, start) {
  for (let at = start; at + 4 <= Math.min(bytes.length, start + (1 << 16)); at++) {
    const rates = MP3_RATES[(bytes[at + 1] >> 3) & 3];
    const rate = rates?.[(bytes[at + 2] >> 2) & 3];
    if (bytes[at] === 0xff && bytes[at + 1] >> 5 === 7 && ((bytes[at + 1] >> 1) & 3) === 1 && rate) return rate;
  }
  return 0;
}

function synchsafe(bytes, at) {
  return [0, 1, 2, 3].reduce((sum, i) => (sum << 7) | bytes[at + i], 0);
}
