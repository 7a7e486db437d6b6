"""In a real browser: JupyterLab's widgets and the page that needs no Python, with a sound file as the microphone.

Chromium is looked for in CHROMIUM, then on the PATH; without it the tests are skipped. AUDIOMNIST_SCREENSHOTS names a
folder for pictures of what they see, and for latency.json."""
import base64, contextlib, functools, http.server, json, os, shutil, subprocess, sys, threading, time, urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
import soundfile

from conftest import ROOT
from audiomnist_nb.corpora import Voice, speak

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: apt install chromium, or name one in CHROMIUM")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
GRANT, FAKE = "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"


@pytest.fixture(scope="session")
def seven(tmp_path_factory):
    "A WAV file: silence, a spoken seven, silence; the browser plays it in a loop"
    path, (word, sr) = tmp_path_factory.mktemp("microphone")/"seven.wav", speak("seven", Voice("en-us"))
    soundfile.write(path, np.concatenate([np.zeros(sr), word, np.zeros(2*sr)]), sr, subtype="PCM_16")
    return path


@pytest.fixture(scope="session")
def launch():
    "Start Chromium with more flags"
    playwright = pytest.importorskip("playwright.sync_api").sync_playwright().start()
    browsers = []
    def launch(*flags, **options):
        browsers.append(playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags]))
        page = browsers[-1].new_context(viewport=dict(width=1300, height=1000), **options).new_page()
        page.set_default_timeout(30_000)
        return page
    yield launch
    for browser in browsers: browser.close()
    playwright.stop()


@pytest.fixture(scope="session")
def keep():
    "Keep a picture of an element, and a latency, where AUDIOMNIST_SCREENSHOTS says"
    folder = os.environ.get("AUDIOMNIST_SCREENSHOTS")
    def keep(element, name, milliseconds=None):
        if not folder: return
        element.screenshot(path=Path(folder)/f"{name}.png")
        if milliseconds:
            path = Path(folder)/"latency.json"
            path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | {name: milliseconds}, indent=2) + "\n")
    return keep


# the page

class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


@pytest.fixture(scope="session")
def site(tmp_path_factory, run):
    "The page's address; npm has to be there"
    if not shutil.which("npm"): pytest.skip("there is no npm, which fetches onnxruntime-web")
    folder = tmp_path_factory.mktemp("site")/"page"
    code, _, error = run("audiomnist", "page", "--to", folder, cwd=ROOT)
    if "npm could not fetch" in error: pytest.skip(error)
    assert code == 0, error
    with http.server.ThreadingHTTPServer(("localhost", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def opened(page, site):
    "The page, ready, and a list that gathers its errors and what it asks of others"
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: request.url.startswith((site, "blob:", "data:")) or faults.append(request.url))
    page.goto(site)
    page.wait_for_function("document.querySelector('.mic-status').textContent === 'ready'")
    return faults


def status_of(page, part):
    page.wait_for_function("part => document.querySelector('.mic-status').textContent.includes(part)", arg=part)
    return page.inner_text(".mic-status")


@pytest.fixture(scope="session")
def silence(tmp_path_factory):
    "A WAV file of a second in which nothing is heard"
    path = tmp_path_factory.mktemp("silence")/"silence.wav"
    soundfile.write(path, np.zeros(48000), 48000)
    return path


@pytest.fixture(scope="session")
def silent_minute(site, launch, silence):
    "A page that records silence, until the limit of 60 s ends it; other tests run meanwhile"
    page = launch(FAKE, GRANT, f"--use-file-for-fake-audio-capture={silence}")
    faults = opened(page, site)
    page.click(".mic-record")
    return page, faults


def test_the_page_hears_a_spoken_seven(site, seven, launch, keep, silent_minute):
    page = launch(FAKE, GRANT, f"--use-file-for-fake-audio-capture={seven}")
    faults = opened(page, site)
    page.click(".mic-record")
    status = status_of(page, "answered in")
    assert page.inner_text(".mic-answer") == "7", status
    assert page.locator(".bar-row").count() == 10 and page.is_visible("canvas") and faults == []
    page.click(".mic-record")   # stopped at once: a message, or an answer to very little
    page.wait_for_function("document.querySelector('.mic-record').textContent === 'Stop'")
    page.click(".mic-record")
    page.wait_for_function("document.querySelector('.mic-record').textContent === 'Record'")
    latencies = []
    for _ in range(5):
        page.click(".mic-record")
        status_of(page, "recording")
        latencies.append(int(status_of(page, "answered in").split()[-2]))
        assert page.inner_text(".mic-answer") == "7"
    keep(page, "page", latencies)
    assert faults == []


def drop(page, path):
    "Drop a file on the page"
    page.evaluate("""([name, encoded]) => {
        const files = new DataTransfer();
        files.items.add(new File([Uint8Array.from(atob(encoded), c => c.charCodeAt(0))], name));
        document.querySelector("#drop").dispatchEvent(new DragEvent("drop", { dataTransfer: files }));
    }""", [path.name, base64.b64encode(path.read_bytes()).decode()])


def test_the_page_takes_files(site, launch, tmp_path):
    page = launch()
    faults = opened(page, site)
    word, sr = speak("three", Voice("en-gb"))
    from audiomnist_nb.features import resample
    files = {"stereo96.wav": (np.stack([resample(word, sr, 96000)]*2, 1), 96000), "empty.wav": (np.zeros(0), 8000), "minute.wav": (np.tile(np.pad(word, (0, sr)), 60)[:60*sr], sr),
             "long.wav": (np.tile(np.pad(word, (0, sr)), 60)[:75*sr], sr), "silent.wav": (np.zeros(8000), 8000), "three.flac": (word, sr)}
    for name, (samples, rate) in files.items(): soundfile.write(tmp_path/name, samples, rate)
    (tmp_path/"nothing.wav").touch()
    (tmp_path/"text.wav").write_text("no sound at all")
    wanted = {"stereo96.wav": ("answered in", "3"), "three.flac": ("answered in", "3"), "empty.wav": ("empty.wav is not readable as sound|0 seconds", ""), "nothing.wav": ("nothing.wav is empty", ""), "text.wav": ("text.wav is not readable as sound", ""),
              "minute.wav": ("answered in", None), "long.wav": ("the first 60 s", None), "silent.wav": ("answered in", "no digit"), }
    for name, (message, digit) in wanted.items():
        page.evaluate("document.querySelector('.mic-status').textContent = ''")
        if name == "stereo96.wav": drop(page, tmp_path/name)
        else: page.set_input_files("input[type=file]", tmp_path/name)
        page.wait_for_function("parts => parts.some(part => document.querySelector('.mic-status').textContent.includes(part))", arg=message.split("|"))
        answer = page.inner_text(".mic-answer") if page.locator(".mic-answer").count() else ""
        assert digit is None or answer == digit, (name, answer)
    assert faults == []


def test_the_last_file_counts_and_nothing_of_the_one_before_stays(site, launch, tmp_path):
    page = launch()
    page.route("**/model.onnx", lambda route: (time.sleep(1), route.continue_()))
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    (word, sr), (other, _) = speak("three", Voice("en-gb")), speak("seven", Voice("en-gb"))
    for name, samples in {"three.wav": word, "long.wav": np.tile(np.pad(other, (0, sr)), 60)[:60*sr], "nan.wav": np.where(np.arange(len(word)) == 99, np.nan, word)}.items():
        soundfile.write(tmp_path/name, samples, sr, subtype="FLOAT")
    (tmp_path/"text.wav").write_text("no sound at all")
    give = lambda name: page.set_input_files("input[type=file]", tmp_path/name)
    page.goto(site)
    give("three.wav")                        # while the model is being loaded
    status_of(page, "answered in")
    assert page.inner_text(".mic-answer") == "3" and page.is_visible("audio")
    give("text.wav")
    status_of(page, "text.wav is not readable")
    assert not page.is_visible("canvas") and not page.is_visible("audio")
    give("nan.wav")
    status_of(page, "NaN")
    give("long.wav")
    give("three.wav")
    status_of(page, "answered in")
    page.wait_for_timeout(4000)              # the long one is through by now
    assert page.inner_text(".mic-answer") == "3" and faults == []


def test_a_keyboard_starts_and_stops(site, launch):
    page = launch(FAKE, GRANT)
    faults = opened(page, site)
    page.focus(".mic-record")
    page.keyboard.press("Space")
    status_of(page, "recording")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.mic-record').textContent === 'Record'")
    assert page.evaluate("document.activeElement.className") == "mic-record" and faults == []


def test_the_page_answers_as_python_does(site, launch, real):
    page = launch()
    faults = opened(page, site)
    from audiomnist_nb.infer import Recogniser
    recogniser = Recogniser.load()
    files = [*sorted((real/"fsdd").rglob("*_1.wav"))[::6], *sorted((real/"beltran").rglob("*.wav"))[::19]]
    for path in files:
        page.evaluate("document.querySelector('.mic-status').textContent = ''")
        page.set_input_files("input[type=file]", path)
        status_of(page, "answered in")
        here = recogniser.predict(path, reject=True)
        shown = np.array([float(row.split()[-1]) for row in page.locator(".bar-row").all_inner_texts()])
        assert abs(shown - here.probabilities[0]).max() < 0.1, (path, shown, here.probabilities)   # another resampler
    assert faults == []


@pytest.mark.parametrize("flags, message", [([FAKE], "may not use the microphone"), ([GRANT], "There is no microphone")])
def test_the_page_says_why_it_can_not_hear(site, launch, flags, message):
    page = launch(*flags)
    faults = opened(page, site)
    page.click(".mic-record")
    status_of(page, message)
    assert page.is_enabled(".mic-record") and page.inner_text(".mic-record") == "Record" and faults == []


# JupyterLab

@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    "The address of a JupyterLab, and its folder"
    folder, own = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("jupyter")
    names = dict(JUPYTER_RUNTIME_DIR="runtime", JUPYTER_CONFIG_DIR="config", JUPYTERLAB_SETTINGS_DIR="settings", JUPYTERLAB_WORKSPACES_DIR="workspaces", IPYTHONDIR="ipython")
    environment = os.environ | {key: str(own/name) for key, name in names.items()} | dict(OMP_NUM_THREADS="1")
    news = own/"settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false"}')
    port = 8790 + os.getpid() % 200
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True",
               f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with open(own/"lab.log", "w") as log: server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://localhost:{port}/api/status", timeout=2)
                break
            time.sleep(0.2)
        else: pytest.fail((own/"lab.log").read_text()[-2000:])
        yield f"http://localhost:{port}", folder
    finally:
        server.terminate()
        try: server.wait(20)
        except subprocess.TimeoutExpired: server.kill()   # Jupyter sometimes waits for kernels that have ended


def run_notebook(page, lab, name, cells):
    "Open a notebook of these cells in JupyterLab and run it"
    address, folder = lab
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=dict(kernelspec=dict(name="python3", display_name="python3"))), folder/name)
    page.goto(f"{address}/lab/tree/{name}?reset")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    page.wait_for_function("""() => { const context = window.jupyterapp?.shell.currentWidget?.context?.sessionContext;
        return context?.isReady && context.kernelDisplayStatus === "idle" && context.session?.kernel?.connectionStatus === "connected" }""")
    page.evaluate("void window.jupyterapp.commands.execute('application:toggle-left-area'); void window.jupyterapp.commands.execute('notebook:run-all-cells')")


def errors_in(page):
    return [text[:600] for text in page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr'], .jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']").all_inner_texts() if "Traceback" in text or "Error" in text]


def wait_for(path):
    for _ in range(300):
        if path.exists(): return json.loads(path.read_text())
        time.sleep(0.1)
    pytest.fail(f"{path.name} was not written")


SPEAK = """
import json, numpy as np
from pathlib import Path
from audiomnist_nb.speak import microphone
box = microphone()
recorder = box.children[0]
def heard(change):
    taken = dict(seconds=len(change.new)/recorder.sr, peak=float(abs(change.new).max()), digits=[a["digit"] for a in recorder.answers], sr=recorder.sr)
    Path("new.json").write_text(json.dumps(taken)); Path("new.json").rename("take.json")
recorder.observe(heard, "waveform")
box"""


def test_the_notebook_hears_a_spoken_seven(lab, seven, launch, keep):
    page = launch(FAKE, GRANT, f"--use-file-for-fake-audio-capture={seven}")
    run_notebook(page, lab, "speak.ipynb", [SPEAK])
    page.wait_for_selector(".mic-record")
    word, sr = soundfile.read(seven)
    said = len(np.flatnonzero(abs(word) > 0.01))/sr
    latencies = []
    for take in range(5):
        (lab[1]/"take.json").unlink(missing_ok=True)
        page.click(".mic-record")
        taken = wait_for(lab[1]/"take.json")
        page.wait_for_function("document.querySelector('.mic-status').textContent.startsWith('answered')")
        assert taken["digits"] == [7] and page.inner_text(".mic-answer") == "7"
        assert abs(taken["peak"] - abs(word).max()) < 0.1 and said - 0.1 < taken["seconds"] < said + 0.7, taken
        latencies.append(int(page.inner_text(".mic-status").split()[1]))
    keep(page.locator(".jp-OutputArea-output").last, "microphone", latencies)
    assert errors_in(page) == []


def test_the_notebook_says_why_it_can_not_hear(lab, launch):
    page = launch(FAKE)   # nobody grants the microphone
    run_notebook(page, lab, "denied.ipynb", [SPEAK])
    page.click(".mic-record")
    status_of(page, "may not use the microphone")
    assert page.inner_text(".mic-record") == "Record" and errors_in(page) == []


def test_a_take_is_filed_under_what_was_asked(lab, seven, launch):
    page, taken = launch(FAKE, GRANT, f"--use-file-for-fake-audio-capture={seven}"), lab[1]/"taken/anna"
    page.add_init_script("""if (navigator.mediaDevices) {
        const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async wanted => window.stream = await open(wanted);
    }""")
    run_notebook(page, lab, "collect.ipynb", ["""from audiomnist_nb.speak import collect\ncollect("anna", takes=1, folder="taken")"""])
    def begin():
        page.click(".mic-record")
        page.wait_for_function("document.querySelector('.mic-record').textContent === 'Stop'")
    begin()
    page.evaluate("window.stream.getTracks()[0].dispatchEvent(new Event('ended'))")   # unplugged
    status_of(page, "was disconnected")
    assert not taken.exists()   # half a word is no take
    begin()
    status_of(page, "saved as")
    assert len(list(taken.iterdir())) == 1
    begin()
    page.get_by_role("button", name="again").click()   # the first take's digit is asked for, while a second is being said
    status_of(page, "once more")
    assert list(taken.iterdir()) == [] and errors_in(page) == []


@pytest.fixture(scope="session")
def noted_minute(lab, launch, silence):
    "A notebook that records a minute of silence; other tests run meanwhile"
    page = launch(FAKE, GRANT, f"--use-file-for-fake-audio-capture={silence}")
    run_notebook(page, lab, "minute.ipynb", ["""
import json
from pathlib import Path
from audiomnist_nb.speak import Recorder
recorder = Recorder(hold=0, limit=60)
recorder.observe(lambda change: Path("minute.json").write_text(json.dumps(len(change.new)/recorder.sr)), "waveform")
recorder"""])
    page.click(".mic-record")
    return page


LISTEN = """
import tempfile
from pathlib import Path
from audiomnist_nb.config import FeatureConfig, load_train_config
from audiomnist_nb.corpora import synthesize
from audiomnist_nb.features import extract
from audiomnist_nb.infer import Recogniser
from audiomnist_nb.listen import *
from audiomnist_nb.train import train
recordings = synthesize(Path(tempfile.mkdtemp())/"voices", speakers=4, takes=2, seed=3)
log_mels = FeatureConfig.load("ROOT/config/data/log_mel_52.yml")""".replace("ROOT", str(ROOT))


def pictures(box):
    return box.locator("img").evaluate_all("images => images.map(image => image.src).join()")


def changes(page, box, act):
    "Do something, and wait whether the box's pictures become others and stay so"
    before = pictures(box)
    act()
    for _ in range(60):
        if pictures(box) != before: break
        page.wait_for_timeout(50)
    else: return False
    page.wait_for_timeout(250)
    return True


def test_every_slider_redraws(lab, launch, keep, noted_minute):
    page = launch()
    run_notebook(page, lab, "listen.ipynb", [LISTEN, "explorer(recordings, log_mels)", "augmentation_explorer(recordings)"])
    page.locator(".jp-Cell .widget-vbox img").nth(2).wait_for()
    outputs = page.locator(".jp-CodeCell")
    explorer, augmentation = outputs.nth(1), outputs.nth(2)
    assert changes(page, explorer, lambda: explorer.locator("select").first.select_option("7"))
    page.wait_for_timeout(1000)
    keep(explorer.locator(".jp-OutputArea-output").first, "explorer")
    handles = explorer.locator(".noUi-handle")
    assert handles.count() == 12
    for i in range(handles.count()):   # a step up, or where the other settings don't allow that, a step down; and back
        there, back = ("ArrowRight", "ArrowLeft") if changes(page, explorer, lambda: handles.nth(i).press("ArrowRight")) else ("ArrowLeft", "ArrowRight")
        if there == "ArrowLeft":
            handles.nth(i).press("ArrowLeft")
            assert changes(page, explorer, lambda: handles.nth(i).press("ArrowLeft")), f"slider {i}: nothing changed"
        assert changes(page, explorer, lambda: handles.nth(i).press(back))
    selects = augmentation.locator("select")
    for transform in range(selects.nth(1).locator("option").count()):
        assert changes(page, augmentation, lambda: selects.nth(1).select_option(index=(transform + 1) % 12)), f"transform {transform}"
        assert changes(page, augmentation, lambda: augmentation.locator(".noUi-handle").first.press("PageUp")), f"amount of transform {transform}"
    page.wait_for_timeout(1000)
    keep(augmentation.locator(".jp-OutputArea-output").first, "augmentation")
    assert errors_in(page) == []


def test_a_cell_plays_and_a_tick_is_noted(lab, launch, keep):
    page = launch()
    run_notebook(page, lab, "cells.ipynb", [LISTEN, "curves = LiveCurves()\ncurves", """
run = train(extract(recordings, FeatureConfig(n_mfcc=20, padding=80)), load_train_config(name="listen", model="CNN", lr=1e-3, epochs=6, earlystop=False, device="cpu"), on_epoch=curves)
predictions = Recogniser(run.trained).predict(recordings)
confusion(predictions)""", "mistakes(predictions, 5, 'corrections.csv')"])
    curves, matrix, mistakes = (page.locator(".jp-CodeCell").nth(i) for i in (1, 2, 3))
    curves.get_by_text("epoch 6: validation accuracy").wait_for()
    keep(curves.locator(".jp-OutputArea-output").first, "curves")
    matrix.locator("button", has_text="1").first.click()
    matrix.locator("audio").first.wait_for(state="attached")
    keep(matrix.locator(".jp-OutputArea-output").last, "confusion")   # a bar may stand above it
    mistakes.locator("input[type=checkbox]").first.click()
    mistakes.get_by_text("noted").first.wait_for()
    assert len((lab[1]/"corrections.csv").read_text().splitlines()) == 2
    keep(mistakes.locator(".jp-OutputArea-output").first, "mistakes")
    assert errors_in(page) == []


def test_a_minute_of_silence_is_no_digit(silent_minute):
    page, faults = silent_minute
    page.wait_for_function("document.querySelector('.mic-status').textContent.includes('answered in')", timeout=90_000)
    assert page.inner_text(".mic-answer") == "no digit" and page.inner_text(".mic-record") == "Record" and faults == []


def test_a_minute_reaches_the_notebook(lab, noted_minute):
    noted_minute.wait_for_function("document.querySelector('.mic-status').textContent.includes('recorded')", timeout=90_000)
    assert wait_for(lab[1]/"minute.json") > 59.9 and errors_in(noted_minute) == []
