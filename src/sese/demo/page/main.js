// The page: what its parts do when something happens.

import { toInputs } from "./budget.js";
import { Controls } from "./controls.js";
import { fetchExample, HIGHEST_HZ, LONGEST_MINUTES, onDrop, readFile } from "./file.js";
import { onKeys } from "./keys.js";
import { openMicrophone } from "./microphone.js";
import { Player } from "./player.js";
import { clock, drawScale, drawSpectrogram, drawUtilization, placeOf, timeAt } from "./plots.js";
import { Take } from "./take.js";
import { toWav } from "./wav.js";

const LIVE_SECONDS = 10; // of the microphone in view
const LIVE_DRAW_MS = 50; // between drawings, to leave the machine to the model
const SETTLE_MS = 120; // how long the slider must rest before a file is enhanced anew

const $ = (id) => document.getElementById(id);
const [beforeCanvas, afterCanvas, usedCanvas] = [$("before"), $("after"), $("used")];
const canvases = [beforeCanvas, afterCanvas, usedCanvas];
const READY = "Ready: choose a file or use the microphone";

const worker = new Worker("worker.js", { type: "module" });
const player = new Player(showTransport);
let controls;
let take = null;
let loaded = 0; // share of the model and its runtime, in [0, 1]
let opening = 0; // number of the latest file
let job = 0; // number of the latest; answers to others are left alone
let microphone = null; // while it runs
let topDb = 0;
let drawing = false;
let settling;
let recent = []; // [busy, frames] of the last live blocks

start().catch(complain);

async function start() {
  $("longest").textContent = LONGEST_MINUTES;
  const response = await fetch("models.json");
  if (!response.ok) throw new Error(`the list of models cannot be loaded (${response.status})`);
  controls = new Controls(await response.json(), settingsChanged);
  loadModel();
  draw();
}

function loadModel() {
  const { model } = controls;
  $("rate-note").textContent =
    `A file keeps its sample rate up to ${HIGHEST_HZ / 1000} kHz, and one or two channels; the microphone runs at the ` +
    `model's ${model.sample_rate / 1000} kHz.`;
  $("latency").textContent = `${model.latency_ms.toFixed(0)} ms`;
  say("Loading the model");
  loaded = 0;
  worker.postMessage({ type: "load", model });
}

function settingsChanged(what) {
  if (what === "model") loadModel();
  if (microphone) {
    worker.postMessage({ type: "inputs", inputs: inputs() });
  } else if (take) {
    busy(true);
    clearTimeout(settling);
    settling = setTimeout(() => enhance(false), what === "model" ? 0 : SETTLE_MS);
  }
}

function inputs() {
  return toInputs(controls.model, controls.choice);
}

// Files

async function openFile(file) {
  const turn = ++opening;
  quiet();
  busy(true);
  await stopMicrophone();
  say(`Reading ${file.name}`);
  const { name, channels, rate } = await readFile(file);
  if (turn !== opening) return; // another was chosen meanwhile
  clearTimeout(settling);
  take = new Take(name, channels.length, rate, channels[0].length);
  take.before.forEach((channel, index) => channel.push(channels[index]));
  player.load(channels, rate);
  enhance(true);
  bringIntoView();
}

function enhance(analyse) {
  busy(true);
  offer(null);
  take.clearAfter();
  if (analyse) take.beforeColumns.length = 0;
  const channels = take.before.map((channel) => channel.read());
  say("Enhancing");
  worker.postMessage({ type: "enhance", job: ++job, channels, rate: take.rate, inputs: inputs(), analyse });
  refresh();
}

// The microphone

async function startMicrophone() {
  quiet();
  say("Waiting for the microphone");
  const { model } = controls;
  $("microphone").disabled = true;
  controls.lockModel(true);
  try {
    microphone = await openMicrophone(model.sample_rate, model.hop_length, tellLatency);
  } catch (error) {
    controls.lockModel(false);
    throw error;
  } finally {
    $("microphone").disabled = false;
  }
  clearTimeout(settling);
  opening++; // a file that is still being read comes too late
  busy(false);
  offer(null);
  player.stop();
  take = new Take("microphone", 1, model.sample_rate);
  topDb = -20;
  recent = [];
  worker.postMessage({ type: "listen", job: ++job, port: microphone.port, inputs: inputs() }, [microphone.port]);
  monitor();
  document.body.classList.add("live");
  $("microphone-text").textContent = "Stop the microphone";
  say("Listening");
  refresh();
  bringIntoView();
}

async function stopMicrophone() {
  if (!microphone) return;
  const ended = microphone;
  microphone = null;
  worker.postMessage({ type: "stop" });
  job++;
  document.body.classList.remove("live");
  $("microphone-text").textContent = "Use the microphone";
  controls.lockModel(false);
  tellModelLatency();
  if (take.used.length) {
    player.load(take.before.map(read), take.rate);
    finish();
  } else {
    clear();
  }
  await ended.stop();
}

function monitor() {
  microphone?.listen($("monitor").checked ? listening() : "none");
}

function tellLatency({ waiting, gaps }) {
  if (!microphone) return;
  const { model } = controls;
  const milliseconds = 1000 * ((waiting + model.lookahead_samples) / model.sample_rate + microphone.latency);
  $("latency").textContent = `${milliseconds.toFixed(0)} ms`;
  $("latency-note").textContent = `${model.latency_ms.toFixed(0)} of the model, the rest of buffers; ${gaps} gaps`;
}

function tellModelLatency() {
  $("latency").textContent = `${controls.model.latency_ms.toFixed(0)} ms`;
  $("latency-note").textContent = "of the model";
}

// What the worker says

worker.onmessage = ({ data }) => {
  if (data.type === "loading") {
    if (data.address !== controls.model.address) return;
    loaded = data.got / data.size;
    if (!take) say(`Loading the model: ${megabytes(data.got)} of ${megabytes(data.size)} MB`);
    return refresh();
  }
  if (data.type === "loaded") {
    loaded = 1;
    if (!take) say(READY);
    document.body.dataset.model = data.address;
    return refresh();
  }
  if (data.type === "failed" && (data.job === undefined || data.job === job)) complain(new Error(data.message));
  if (data.job !== job) return;
  if (data.type === "before") {
    take.beforeColumns.push(data.columns);
    topDb = take.topDb;
  } else if (data.type === "part") {
    take.addPart(data);
  } else if (data.type === "done") {
    finish();
  } else if (data.type === "live") {
    take.addLive(data);
    recent.push([data.busy, data.used.length]);
    if (recent.length > 64) recent.shift();
    if (take.seconds >= 60 * LONGEST_MINUTES) stopMicrophone().catch(complain);
  }
  refresh();
};
worker.onerror = (event) => complain(new Error(event.message || "the worker cannot be started"));

function finish() {
  take.done = true;
  busy(false);
  topDb = take.topDb;
  player.setAfter(take.after.map(read), take.rate);
  offer(toWav(take.after.map(read), take.rate), `${take.name}_enhanced.wav`);
  const change = take.changeDb;
  $("change").textContent = Number.isFinite(change) ? `${change.toFixed(1).replace("-", "\u2212")} dB` : "\u2013";
  say(`${take.name}: ${take.seconds.toFixed(1)} s enhanced`);
  refresh();
}

/** Let a file be saved; null: none. */
function offer(blob, name) {
  const link = $("download");
  if (link.href) URL.revokeObjectURL(link.href);
  link.removeAttribute("href");
  link.setAttribute("aria-disabled", !blob);
  if (!blob) return;
  link.href = URL.createObjectURL(blob);
  link.download = name;
}

function clear() {
  job++;
  take = null;
  busy(false);
  player.load([new Float32Array(1)], controls.model.sample_rate);
  offer(null);
  say(READY);
  refresh();
}

// Showing

function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

/** Show the results, where they are below what is in view, as on a telephone. */
function bringIntoView() {
  document.body.classList.remove("empty");
  const { top } = $("result").getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) $("result").scrollIntoView();
}

function megabytes(count) {
  return (count / 1e6).toFixed(1);
}

function busy(now) {
  $("result").setAttribute("aria-busy", now);
}

function complain(error) {
  busy(false);
  const denied = error.name === "NotAllowedError" ? "the microphone was not allowed; allow it in the browser" : null;
  const missing = error.name === "NotFoundError" ? "there is no microphone" : null;
  $("problem").textContent = `Error: ${denied ?? missing ?? error.message}`;
  $("problem").hidden = false;
  say(take?.done ? "" : READY);
}

function quiet() {
  $("problem").hidden = true;
}

function refresh() {
  if (drawing) return;
  drawing = true;
  const now = () => {
    drawing = false;
    draw();
  };
  if (microphone) setTimeout(() => requestAnimationFrame(now), LIVE_DRAW_MS);
  else requestAnimationFrame(now);
}

function view() {
  const seconds = take?.seconds ?? 0;
  if (microphone) return { from: Math.max(0, seconds - LIVE_SECONDS), to: Math.max(LIVE_SECONDS, seconds) };
  return { from: 0, to: seconds || LIVE_SECONDS };
}

function draw() {
  if (!controls) return;
  const { model } = controls;
  document.body.classList.toggle("empty", !take);
  const shown = view();
  const rate = take?.rate ?? model.sample_rate;
  const nothing = new Uint8Array();
  drawSpectrogram(beforeCanvas, take?.beforeColumns.read() ?? nothing, rate, shown, topDb);
  drawSpectrogram(afterCanvas, take?.afterColumns.read() ?? nothing, rate, shown, topDb);
  const levels = model.levels.map((level) => level.utilization);
  const late = microphone ? 0 : -model.lookahead_samples / model.sample_rate;
  const used = take?.used.read() ?? new Float32Array();
  drawUtilization(usedCanvas, used, model.hop_length / model.sample_rate, late, levels, shown);
  drawScale($("scale"), topDb);
  const share = take && loaded === 1 ? Math.min(1, take.share) : loaded;
  $("progress").value = share;
  $("progress").ariaLabel = loaded === 1 ? "Enhanced so far" : "Loaded so far";
  $("progress").classList.toggle("done", share === 1 || microphone !== null);
  if (take?.used.length) tellFigures(model);
  showTransport();
}

function tellFigures(model) {
  const used = take.utilization;
  const frame = (1000 * model.hop_length) / model.sample_rate;
  const sum = (index) => recent.reduce((total, entry) => total + entry[index], 0);
  const rtf = microphone ? sum(0) / sum(1) / frame : take.realTimeFactor(frame / 1000);
  $("utilization").textContent = used.toFixed(3);
  $("rtf").textContent = rtf.toFixed(3);
  $("rtf-note").textContent =
    rtf < 1 ? `one thread, ${(1 / rtf).toFixed(0)} times as fast as needed` : "too slow here: try a lower budget";
  if (!take.done) $("change").textContent = "\u2013";
  const [bySeconds, share] = [`${take.seconds.toFixed(1)} seconds`, `mean ${used.toFixed(3)}`];
  beforeCanvas.setAttribute("aria-label", `Spectrogram before, ${bySeconds}`);
  afterCanvas.setAttribute("aria-label", `Spectrogram after, ${bySeconds}`);
  usedCanvas.setAttribute("aria-label", `Share of compute over time, ${share}`);
}

function showTransport() {
  const ready = Boolean(take && !microphone && player.buffers.after);
  document.body.classList.toggle("ready", ready);
  $("play").disabled = $("position").disabled = !ready;
  $("play").textContent = player.playing ? "Pause" : "Play";
  $("position").max = ready ? player.duration : 0;
  showPosition();
  if (player.playing) requestAnimationFrame(showTransportOnce);
}

let following = false;
function showTransportOnce() {
  if (following) return;
  following = true;
  requestAnimationFrame(() => {
    following = false;
    showPosition();
    if (player.playing) showTransportOnce();
  });
}

function showPosition() {
  const ready = document.body.classList.contains("ready");
  const time = ready ? Math.max(0, player.time) : 0;
  $("position").value = time;
  $("position").setAttribute("aria-valuetext", `${time.toFixed(1)} seconds`);
  $("time").textContent = `${clock(time)} / ${clock(take?.seconds ?? 0)}`;
  for (const canvas of canvases) {
    const line = canvas.nextElementSibling;
    const x = placeOf(canvas, time, view());
    line.style.visibility = ready && Number.isFinite(x) ? "visible" : "hidden";
    line.style.transform = `translateX(${x}px)`;
  }
}

function read(growing) {
  return growing.read();
}

function listening() {
  return document.querySelector("input[name=listen]:checked").value;
}

// What the user does

$("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = ""; // so that the same file may be chosen again
  if (file) openFile(file).catch(complain);
});
for (const button of [$("example"), $("first")])
  button.addEventListener("click", () => {
    busy(true); // from the click on, as for a file
    fetchExample().then(openFile).catch(complain);
  });
$("microphone").addEventListener("click", () => (microphone ? stopMicrophone() : startMicrophone()).catch(complain));
$("monitor").addEventListener("change", monitor);
$("play").addEventListener("click", () => (player.playing ? player.pause() : player.play()));
$("position").addEventListener("input", (event) => player.seek(Number(event.target.value)));
for (const radio of document.querySelectorAll("input[name=listen]"))
  radio.addEventListener("change", () => {
    player.listen(listening());
    monitor();
  });
for (const canvas of canvases)
  canvas.addEventListener("click", (event) => {
    if (document.body.classList.contains("ready")) player.seek(timeAt(canvas, event.offsetX, view()));
  });
onKeys(
  () => {
    $("play").click();
    return !$("play").disabled;
  },
  () => document.querySelector("input[name=listen]:not(:checked)").click(),
);
onDrop($("drop"), (file) => openFile(file).catch(complain));
addEventListener("resize", refresh);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
