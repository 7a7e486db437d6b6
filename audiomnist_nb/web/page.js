// The page that needs no Python: the exported model in onnxruntime-web
import * as ort from "./ort.wasm.bundle.min.mjs";
import { drawBars, reason, resample, startRecording } from "./sound.js";

const find = selector => document.querySelector(selector), say = text => { find(".mic-status").textContent = text; };
const button = find(".mic-record"), LONGEST = 60;   // seconds
let about, session, recording = null, starting = false;
let turn = 0, running = Promise.resolve();   // of what was given last, whose answer counts; one run after another

// Power in dB of frames of 256 samples, each a step of 64 further: one array a frame, low frequencies first
function spectrogram(x) {
  const n = 256, frames = [];
  const cosines = Float32Array.from({ length: n }, (_, i) => Math.cos(2 * Math.PI * i / n));
  for (let start = 0; start + n <= x.length; start += Math.max(64, Math.floor(x.length / 640))) {
    const framed = cosines.map((c, i) => x[start + i] * (0.5 - 0.5 * c));
    frames.push(Float32Array.from({ length: n / 2 }, (_, k) => {
      let real = 0, imaginary = 0;
      for (let i = 0; i < n; i++) { real += framed[i] * cosines[k * i % n]; imaginary += framed[i] * cosines[(k * i + n / 4) % n]; }
      return 10 * Math.log10(real * real + imaginary * imaginary + 1e-10);
    }));
  }
  return frames;
}

function draw(x) {
  const canvas = find("canvas"), frames = spectrogram(x), most = Math.max(-60, ...frames.map(frame => Math.max(...frame)));
  canvas.hidden = frames.length === 0;
  if (canvas.hidden) return;
  Object.assign(canvas, { width: frames.length, height: frames[0].length });
  const context = canvas.getContext("2d"), image = context.createImageData(canvas.width, canvas.height);
  frames.forEach((frame, column) => frame.forEach((db, row) => {
    const part = Math.max(0, Math.min(1, 1 + (db - most) / 60)), at = 4 * ((canvas.height - 1 - row) * canvas.width + column);
    image.data.set([255 * Math.min(1, 1.6 * part), 255 * part ** 2.2, 255 * Math.max(0.4 * Math.sin(Math.PI * part), part ** 5), 255], at);
  }));
  context.putImageData(image, 0, 0);
}

function play(x) {   // a 16-bit WAV file of what the model hears, for the player
  const wav = new DataView(new ArrayBuffer(44 + 2 * x.length)), text = (at, letters) => [...letters].forEach((c, i) => wav.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF"); wav.setUint32(4, 36 + 2 * x.length, true); text(8, "WAVEfmt ");
  [[16, 16, 32], [20, 1, 16], [22, 1, 16], [24, about.sample_rate, 32], [28, 2 * about.sample_rate, 32], [32, 2, 16], [34, 16, 16], [40, 2 * x.length, 32]]
    .forEach(([at, value, bits]) => wav[`setUint${bits}`](at, value, true));
  text(36, "data");
  x.forEach((value, i) => wav.setInt16(44 + 2 * i, 32767 * Math.max(-1, Math.min(1, value)), true));
  const player = find("audio");
  URL.revokeObjectURL(player.src);
  Object.assign(player, { src: URL.createObjectURL(new Blob([wav], { type: "audio/wav" })), hidden: false });
}

async function answer(samples, rate, one, spoken = performance.now()) {
  if (!samples.length) throw new Error("There is no sound in it: 0 seconds.");
  const cut = samples.length > LONGEST * rate, x = resample(cut ? samples.subarray(0, LONGEST * rate) : samples, rate, about.sample_rate);
  if (x.length < 16) throw new Error("It is too short.");
  if (!x.every(Number.isFinite)) throw new Error("It holds NaN or infinite samples.");
  running = running.catch(() => {}).then(() => session.run({ waveform: new ort.Tensor("float32", x, [1, x.length]) }));
  const result = await running;
  if (one.turn !== turn) return;
  const probabilities = [...result.probabilities.data], best = probabilities.indexOf(Math.max(...probabilities));
  const digit = result.score && result.score.data[0] < about.threshold ? null : best;
  const shown = document.createElement("div"), bars = document.createElement("div");
  Object.assign(shown, { className: "mic-answer", textContent: digit ?? "no digit" });
  drawBars(bars, probabilities, digit);
  find(".mic-answers").replaceChildren(shown, bars);
  say(`${cut ? `the first ${LONGEST} s, ` : ""}answered in ${Math.round(performance.now() - spoken)} ms`);
  draw(x);
  play(x);
}

async function attempt(task) {
  const one = { turn: ++turn };
  clear();
  try { await ready; await task(one); } catch (error) { if (one.turn === turn) say(reason(error)); }
}

function clear() {
  find(".mic-answers").replaceChildren();
  find("audio").pause();
  find("audio").hidden = find("canvas").hidden = true;
}

async function record() {
  starting = true;   // the button stays enabled, or the keyboard would lose it
  await attempt(async one => {
    recording = await startRecording({ hold: 0.2, limit: LONGEST, onLevel: (db, seconds) => { find("meter").value = db; say(`recording, ${seconds.toFixed(1)} s`); } });
    button.textContent = "Stop";
    const { samples, quiet } = await recording.done;
    one.turn = ++turn;
    clear();
    await answer(samples, recording.rate, one, performance.now() - 1000 * quiet);
  });
  recording = null; starting = false;
  find("meter").value = -60;
  button.textContent = "Record";
}

async function take(file) {
  if (!file) return;
  await attempt(async one => {
    say(`${file.name} is being read`);
    const bytes = await file.arrayBuffer();
    if (!bytes.byteLength) throw new Error(`${file.name} is empty.`);
    let sound;
    try { sound = await new OfflineAudioContext(1, 1, 48000).decodeAudioData(bytes); } catch { throw new Error(`${file.name} is not readable as sound.`); }
    await answer(sound.getChannelData(0), sound.sampleRate, one);
  });
}

const drop = find("#drop"), input = find("input");
button.onclick = () => recording ? recording.stop() : starting || record();
input.onchange = () => { take(input.files[0]); input.value = ""; };
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, event => event.preventDefault());   // beside the field, the browser would leave this page
for (const kind of ["dragover", "dragleave", "drop"]) drop.addEventListener(kind, event => {
  event.preventDefault();
  drop.classList.toggle("over", kind === "dragover");
  if (kind === "drop") take(event.dataTransfer.files[0]);
});

async function load() {
  ort.env.wasm.numThreads = 1;
  about = await (await fetch("model.json")).json();
  session = await ort.InferenceSession.create("model.onnx");
  await session.run({ waveform: new ort.Tensor("float32", new Float32Array(about.sample_rate), [1, about.sample_rate]) });   // the first run is the slowest
  find("#about").textContent = `Model ${about.model.type}, version ${about.version}, ${about.sample_rate} Hz.`;
  button.disabled = false;
  if (!turn) say("ready");
}

const ready = load().catch(error => { throw new Error(`The model can't be loaded: ${error.message}`); });
ready.catch(error => say(error.message));
