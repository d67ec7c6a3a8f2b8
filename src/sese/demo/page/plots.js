// Spectrograms and the share of compute, on canvases that share one time axis.

import { binsOf, columnsPerSecond, FLOOR_DB } from "./spectrum.js";

// Magma (CC0, by N. Smith and S. van der Walt): 33 of its colours, those between by interpolation.
const MAGMA =
  "000004 030312 0a0822 130d34 1d1147 29115a 36106b 440f76 51127c 5d177f 6a1c81 762181 832681 902a81 9c2e7f aa337d b73779 " +
  "c43c75 d0416f dc4869 e75263 ef5d5e f56b5c f9795d fc8961 fd9869 fea772 feb67c fec488 fed395 fde2a3 fcf0b2 fcfdbf";
const COLOURS = colourTable(MAGMA.split(" ").map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16))));
export const SPAN_DB = 80;

const LEFT = 46; // CSS pixels around a plot
const RIGHT = 10;
const BOTTOM = 22; // as in style.css
const TOP = 6; // as in style.css

/** Time [s] under a horizontal place [CSS pixels] of a canvas that shows `view`. */
export function timeAt(canvas, x, view) {
  const share = (x - LEFT) / (canvas.clientWidth - LEFT - RIGHT);
  return view.from + Math.max(0, Math.min(1, share)) * (view.to - view.from);
}

/** Horizontal place [CSS pixels] of a time [s]; NaN when it is out of view. */
export function placeOf(canvas, time, view) {
  const share = (time - view.from) / (view.to - view.from);
  return share >= 0 && share <= 1 ? LEFT + share * (canvas.clientWidth - LEFT - RIGHT) : NaN;
}

/**
 * Spectrogram of `columns` [column, bin], bytes, over `view` {from, to} in seconds; `topDb` has the
 * brightest colour, and SPAN_DB less the darkest.
 */
export function drawSpectrogram(canvas, columns, rate, view, topDb) {
  const plot = prepare(canvas);
  const { context, left, top, width, height } = plot;
  const bins = binsOf(rate);
  const count = Math.floor(columns.length / bins);
  const perSecond = columnsPerSecond(rate);
  const image = context.createImageData(width, height);
  const colourOf = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const db = FLOOR_DB * (1 - byte / 255);
    colourOf[byte] = Math.max(0, Math.min(255, Math.round(255 * (1 + (db - topDb) / SPAN_DB))));
  }
  const firstBin = Uint16Array.from({ length: height + 1 }, (_, y) => Math.min(bins - 1, Math.floor(((height - y) / height) * bins)));
  const pixels = new Uint32Array(image.data.buffer);
  pixels.fill(COLOURS[0]);
  const loudest = new Uint8Array(bins);
  for (let x = 0; x < width; x++) {
    const time = (at) => view.from + (at / width) * (view.to - view.from);
    const first = Math.max(0, Math.round(time(x) * perSecond));
    const end = Math.max(first + 1, Math.round(time(x + 1) * perSecond));
    if (first >= count || time(x) < 0) continue;
    loudest.fill(0);
    for (let k = first; k < Math.min(end, count); k++) {
      for (let bin = 0, at = k * bins; bin < bins; bin++, at++) if (columns[at] > loudest[bin]) loudest[bin] = columns[at];
    }
    for (let y = 0; y < height; y++) {
      let value = 0;
      for (let bin = firstBin[y + 1]; bin <= Math.max(firstBin[y + 1], firstBin[y] - 1); bin++) value = Math.max(value, loudest[bin]);
      pixels[y * width + x] = COLOURS[colourOf[value]];
    }
  }
  context.putImageData(image, left, top);
  drawTimes(plot, view);
  const kilohertz = rate / 2000;
  const step = kilohertz > 12 ? 6 : kilohertz > 6 ? 2 : 1;
  for (let f = 0; f <= kilohertz + 1e-6; f += step) drawLeft(plot, f / kilohertz, f === 0 ? "0 kHz" : `${f}`);
}

/** Steps of `used` [frame], each `seconds` long, the first at `offset` seconds; dashes at the `levels`. */
export function drawUtilization(canvas, used, seconds, offset, levels, view) {
  const plot = prepare(canvas);
  const { context, left, top, width, height, scale } = plot;
  const yOf = (share) => top + height * (1 - share);
  context.fillStyle = colour("--field");
  context.fillRect(left, top, width, height);
  context.strokeStyle = colour("--line");
  context.lineWidth = scale;
  context.setLineDash([4 * scale, 4 * scale]);
  context.beginPath();
  for (const level of levels) {
    context.moveTo(left, yOf(level));
    context.lineTo(left + width, yOf(level));
  }
  context.stroke();
  context.setLineDash([]);
  const tops = [];
  for (let x = 0; x < width; x++) {
    const frameAt = (at) => (view.from + (at / width) * (view.to - view.from) - offset) / seconds;
    const first = Math.max(0, Math.floor(frameAt(x)));
    const end = Math.max(first + 1, Math.floor(frameAt(x + 1)));
    if (frameAt(x) < 0 || first >= used.length) continue;
    const shown = used.subarray(first, Math.min(end, used.length));
    tops.push([left + x, yOf(shown.reduce((sum, value) => sum + value, 0) / shown.length)]);
  }
  if (tops.length) {
    context.beginPath();
    context.moveTo(tops[0][0], yOf(0));
    for (const [x, y] of tops) context.lineTo(x, y);
    context.lineTo(tops.at(-1)[0] + 1, yOf(0));
    context.fillStyle = colour("--used-fill");
    context.fill();
    context.beginPath();
    tops.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.strokeStyle = colour("--used");
    context.lineWidth = 1.5 * scale;
    context.stroke();
  }
  drawTimes(plot, view);
  for (const share of [0, 0.5, 1]) drawLeft(plot, share, `${share}`);
}

/** The colours with their dB of full scale. */
export function drawScale(canvas, topDb) {
  const { context, scale } = prepare(canvas);
  const width = canvas.width - 2 * 24 * scale;
  for (let x = 0; x < width; x++) {
    const word = COLOURS[Math.floor((255 * x) / width)];
    context.fillStyle = `rgb(${word & 255} ${(word >> 8) & 255} ${(word >> 16) & 255})`;
    context.fillRect(24 * scale + x, 2 * scale, 1.5, 12 * scale);
  }
  context.fillStyle = colour("--soft");
  context.textAlign = "center";
  context.textBaseline = "top";
  for (let part = 0; part <= 4; part++) {
    const db = Math.round(topDb - SPAN_DB * (1 - part / 4));
    const text = `${db}`.replace("-", "\u2212") + (part === 4 ? " dB" : "");
    context.fillText(text, 24 * scale + (width * part) / 4, 18 * scale);
  }
}

/** Clear a canvas, at the resolution of the screen; the place of the plot in it, in its pixels. */
function prepare(canvas) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
  const context = canvas.getContext("2d");
  context.font = `${11.5 * scale}px system-ui, "DejaVu Sans", sans-serif`;
  const [left, top] = [Math.round(LEFT * scale), Math.round(TOP * scale)];
  const width = Math.max(1, canvas.width - left - Math.round(RIGHT * scale));
  const height = Math.max(1, canvas.height - top - Math.round(BOTTOM * scale));
  return { context, left, top, width, height, scale };
}

function drawTimes({ context, left, top, width, height, scale }, view) {
  const span = view.to - view.from;
  const most = Math.max(2, width / (64 * scale));
  const step = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300].find((seconds) => span / seconds <= most) ?? 600;
  context.fillStyle = context.strokeStyle = colour("--soft");
  context.lineWidth = scale;
  context.textBaseline = "top";
  for (let time = Math.ceil(view.from / step) * step; time <= view.to + 1e-6; time += step) {
    const x = left + ((time - view.from) / span) * width;
    context.beginPath();
    context.moveTo(x, top + height);
    context.lineTo(x, top + height + 4 * scale);
    context.stroke();
    const text = span > 90 ? clock(time) : `${+time.toFixed(1)} s`;
    const half = context.measureText(text).width / 2;
    context.textAlign = "left";
    context.fillText(text, Math.min(x - half, left + width + (RIGHT - 1) * scale - 2 * half), top + height + 6 * scale);
  }
}

function drawLeft({ context, left, top, height, scale }, share, text) {
  const y = top + height * (1 - share);
  context.fillStyle = context.strokeStyle = colour("--soft");
  context.lineWidth = scale;
  context.beginPath();
  context.moveTo(left - 4 * scale, y);
  context.lineTo(left, y);
  context.stroke();
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.fillText(text, left - 7 * scale, Math.max(7 * scale, y));
}

/** Seconds as minutes and seconds. */
export function clock(seconds) {
  const whole = Math.floor(seconds + 1e-6);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** 256 colours as the words of an ImageData (little endian). */
function colourTable(stops) {
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const place = (i / 255) * (stops.length - 1);
    const at = Math.min(stops.length - 2, Math.floor(place));
    const [r, g, b] = stops[at].map((value, c) => Math.round(value + (place - at) * (stops[at + 1][c] - value)));
    return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });
}
