// Sound in a browser: recording, the end of a word, another sampling rate, the bars of an answer.
// The notebooks' `Recorder` and the page that needs no Python share it.

const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; }
});`;

// Why there is no sound, for the person who wanted some
export function reason(error) {
  return {
    NotAllowedError: "The browser may not use the microphone. Allow it (beside the address of this page) and record again.",
    NotFoundError: "There is no microphone. Connect one and record again.",
    NotReadableError: "The microphone can't be opened; another program may be using it.",
  }[error.name] ?? error.message;
}

// Tells when a word has ended, from the levels of blocks of 10 ms; `_has_ended` in speak.py has the same rule
export class WordEnd {
  constructor(rate, hold) {
    Object.assign(this, { size: Math.round(rate / 100), hold: Math.round(hold * 100), levels: [], power: 0, n: 0 });
  }
  add(samples) {   // the level of the last whole block, dB
    for (const x of samples) {
      this.power += x * x;
      if (++this.n < this.size) continue;
      this.levels.push(10 * Math.log10(this.power / this.n + 1e-10));
      this.power = this.n = 0;
    }
    return this.levels.at(-1) ?? -100;
  }
  get quiet() {   // blocks since the word, -1 where there was none
    const { levels } = this, loudest = levels.reduce((a, b) => Math.max(a, b), -100);
    const floor = levels.toSorted((a, b) => a - b)[Math.floor(0.1 * (levels.length - 1))];
    const threshold = Math.max(Math.min(floor + 10, loudest - 15), loudest - 30, -60);
    const loud = levels.filter(level => level > threshold).length;
    if (loud < 6 || loudest < floor + 15) return -1;
    return levels.length - 1 - levels.findLastIndex(level => level > threshold);
  }
  get ended() { return this.hold > 0 && this.quiet >= this.hold; }
}

// Opens the microphone. Gives the rate, stop(), cancel(error), and a promise of { samples, quiet } (quiet: seconds since the word)
export async function startRecording({ hold = 0, limit = 60, most = Infinity, onLevel = () => {} } = {}) {
  if (!navigator.mediaDevices) throw new Error("This page has no microphone: open it by https, or on this machine by http://localhost");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  const context = new AudioContext(), url = URL.createObjectURL(new Blob([TAP], { type: "application/javascript" }));
  const parts = [], end = new WordEnd(context.sampleRate, hold);
  let finish, cancel, tap, n = 0;
  const done = new Promise((resolve, reject) => { finish = resolve; cancel = reject; }).finally(async () => {
    if (tap) tap.port.onmessage = null;   // some may still be on their way
    stream.getTracks().forEach(track => track.stop());
    await context.close();
  }).then(() => {
    const samples = new Float32Array(n);
    parts.reduce((at, part) => (samples.set(part, at), at + part.length), 0);
    return { samples, quiet: Math.max(end.quiet, 0) / 100 };
  });
  stream.getTracks().forEach(track => { track.onended = () => cancel(new Error("The microphone was disconnected. Connect it and record again.")); });
  try {
    await context.audioWorklet.addModule(url);
    tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => {
      const blocks = end.levels.length;
      parts.push(data); n += data.length;
      onLevel(end.add(data), n / context.sampleRate);
      if (n >= Math.min(limit * context.sampleRate, most) || (end.levels.length > blocks && end.ended)) finish();
    };
    context.createMediaStreamSource(stream).connect(tap);
    await context.resume();
  } catch (error) { finish(); throw error; } finally { URL.revokeObjectURL(url); }
  return { rate: context.sampleRate, stop: finish, cancel, done };
}

// Samples at another rate: a sinc of 64 zero crossings to each side under a Hann window, 4 % below half the lower rate
export function resample(x, from, to) {
  if (from === to) return x;
  const gcd = (a, b) => b ? gcd(b, a % b) : a, up = to / gcd(from, to), down = from / gcd(from, to);
  const cutoff = 0.96 * Math.min(1, to / from), reach = Math.ceil(64 / cutoff);
  const kernels = new Map(), y = new Float32Array(Math.ceil(x.length * to / from));
  const kernel = phase => {   // weights of the samples around a place `phase` of the way from one sample to the next
    const weights = Float32Array.from({ length: 2 * reach }, (_, k) => {
      const t = k - reach + 1 - phase, a = Math.PI * cutoff * t;
      return cutoff * (t ? Math.sin(a) / a : 1) * Math.cos(Math.PI * t / (2 * reach + 1)) ** 2;
    });
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map(w => w / sum);
  };
  for (let i = 0; i < y.length; i++) {
    const at = Math.floor(i * down / up), part = (i * down) % up;
    if (!kernels.has(part)) kernels.set(part, kernel(part / up));
    const weights = kernels.get(part), first = at - reach + 1;
    const last = Math.min(weights.length, x.length - first);
    let sum = 0;
    for (let k = Math.max(0, -first); k < last; k++) sum += weights[k] * x[first + k];
    y[i] = sum;
  }
  return y;
}

// One row a class: name, bar, probability; `digit` is the answer, null where there is none
export function drawBars(element, probabilities, digit) {
  element.replaceChildren(...probabilities.map((p, name) => {
    const row = document.createElement("div"), bar = document.createElement("span"), text = document.createElement("span");
    row.className = name === digit ? "bar-row bar-answer" : "bar-row";
    bar.className = "bar"; bar.style.width = `${(12 * p).toFixed(2)}em`;
    text.textContent = ` ${p.toFixed(2)}`;
    row.append(String(name), bar, text);
    return row;
  }));
}
