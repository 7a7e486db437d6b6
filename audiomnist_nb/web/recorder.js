// The notebooks' `Recorder`: joined to sound.js by speak.py

function render({ model, el }) {
  const make = (tag, name, parent = el) => { const made = document.createElement(tag); made.className = name; parent.append(made); return made; };
  const line = make("div", "mic-line"), button = make("button", "mic-record", line), meter = make("meter", "mic-meter", line), status = make("span", "mic-status", line);
  const answers = make("div", "mic-answers");
  Object.assign(meter, { min: -60, max: 0, value: -60, low: -50, high: -3, optimum: -20 });
  let recording = null, starting = false, spoken = 0;   // when the word ended, ms

  const say = text => { status.textContent = text; };
  const idle = () => { recording = null; starting = false; button.textContent = "Record"; meter.value = -60; };

  async function record() {
    const turn = model.get("turn");
    starting = true;   // the button stays enabled, or the keyboard would lose it
    model.set("error", "");
    model.set("answers", []);
    try {
      recording = await startRecording({ hold: model.get("hold"), limit: model.get("limit"), most: 5e6,   // Jupyter takes no message above 10 MiB
        onLevel: (db, seconds) => { meter.value = db; say(`recording, ${seconds.toFixed(1)} s`); } });
      button.textContent = "Stop";
      const { samples, quiet } = await recording.done;
      spoken = performance.now() - 1000 * quiet;
      if (!samples.length) throw new Error("Nothing was recorded: it was stopped at once.");
      say(`${(samples.length / recording.rate).toFixed(1)} s recorded`);
      model.set("sr", recording.rate);
      model.set("_samples", new DataView(Int16Array.from(samples, x => Math.round(32767 * Math.max(-1, Math.min(1, x)))).buffer));
      model.set("_turn", turn);
      model.set("takes", model.get("takes") + 1);
    } catch (error) { say(reason(error)); model.set("error", reason(error)); }
    model.save_changes();
    idle();
  }

  function show() {
    answers.replaceChildren();
    for (const { digit, probabilities } of model.get("answers")) {
      const one = make("div", "mic-one", answers);
      make("div", "mic-answer", one).textContent = digit ?? "no digit";
      drawBars(make("div", "mic-bars", one), probabilities, digit);
    }
    if (!model.get("answers").length || !spoken) return;
    say(`answered ${Math.round(performance.now() - spoken)} ms after the word`);
    spoken = 0;
  }

  button.onclick = () => recording ? recording.stop() : starting || (model.get("_turn") === model.get("turn") ? say("Python is busy; wait") : record());
  model.on("change:answers", show);
  model.on("change:note", () => say(model.get("note")));
  idle();
  say(model.get("note"));
  show();
  return () => recording?.cancel(new Error("The recording was broken off."));
}
export default { render };
