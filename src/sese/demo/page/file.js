// Files: read, checked and decoded at their own sample rate.

import { clock } from "./plots.js";
import { rateOf } from "./rate.js";

export const LONGEST_MINUTES = 10;
export const HIGHEST_HZ = 48000; // files of higher rates are resampled when they are decoded
const LOWEST_HZ = 8000;
const LARGEST_MB = 256;

/** The name of a file without its ending, its rate in Hz, and at most two channels of samples. */
export async function readFile(file) {
  if (file.size > LARGEST_MB << 20)
    throw new Error(`${file.name} has ${(file.size / 2 ** 20).toFixed(0)} MB; the most is ${LARGEST_MB}`);
  requireShort(file, await durationOf(file));
  const bytes = await file.arrayBuffer();
  const rate = Math.max(LOWEST_HZ, Math.min(HIGHEST_HZ, rateOf(bytes) || HIGHEST_HZ));
  let audio;
  try {
    audio = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  } catch {
    throw new Error(`${file.name} is no audio that this browser can read; try WAV, FLAC or MP3`);
  }
  requireShort(file, audio.duration);
  const channels = Array.from({ length: Math.min(2, audio.numberOfChannels) }, (_, i) => audio.getChannelData(i));
  return { name: file.name.replace(/\.[^.]*$/, ""), channels, rate };
}

/** The noisy example that the server has, as a file. */
export async function fetchExample() {
  const response = await fetch("example.flac");
  if (!response.ok) throw new Error(`the example cannot be loaded (${response.status})`);
  return new File([await response.blob()], "example.flac");
}

/** Call `open` with each file that is dropped on the page; `target` shows where while it is dragged. */
export function onDrop(target, open) {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) target.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    target.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) open(file);
  });
}

function requireShort(file, seconds) {
  if (seconds > 60 * LONGEST_MINUTES)
    throw new Error(
      `${file.name} is ${clock(seconds)} long; the most is ${LONGEST_MINUTES} minutes (use \`sese enhance\`)`,
    );
}

/** Seconds of a file as its header says, before all of it is decoded; 0 where the browser cannot tell. */
function durationOf(file) {
  return new Promise((resolve) => {
    const probe = new Audio();
    const answer = (seconds) => {
      URL.revokeObjectURL(probe.src);
      resolve(Number.isFinite(seconds) ? seconds : 0);
    };
    probe.preload = "metadata";
    probe.onloadedmetadata = () => answer(probe.duration);
    probe.onerror = () => answer(0);
    probe.src = URL.createObjectURL(file);
  });
}
