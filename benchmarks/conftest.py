"What the benchmarks share: a corpus of 48 kHz recordings, and a child process whose time and memory are measured."
import os, subprocess, sys

import pytest
import soundfile

from audiomnist_nb.config import find_path
from audiomnist_nb.corpora import scan, synthesize
from audiomnist_nb.features import read_audio, resample

UNIQUE = 300   # recordings that are really different; larger corpora are links to them


@pytest.fixture(scope="session")
def voices(tmp_path_factory):
    "300 synthetic recordings at 48 kHz, or those that AUDIOMNIST_48K names"
    if "AUDIOMNIST_48K" in os.environ: return find_path(os.environ["AUDIOMNIST_48K"])
    folder = tmp_path_factory.mktemp("voices")/"48k"
    folder.mkdir()
    for r in synthesize(folder.with_name("22k"), speakers=UNIQUE//10, takes=1, seed=0):
        soundfile.write(folder/r.path.name, resample(*read_audio(r.path), 48000), 48000, subtype="PCM_16")
    return folder


@pytest.fixture(scope="session")
def corpus_of(voices, tmp_path_factory):
    "A function: a folder of n recordings in AudioMNIST's layout"
    def corpus_of(n):
        folder = tmp_path_factory.getbasetemp()/f"corpus_{n}"
        if not folder.exists():
            originals = scan(voices)
            for i in range(n):
                r = originals[i % len(originals)]
                path = folder/f"{i//500:03d}/{r.digit}_{i//500:03d}_{i:06d}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(r.path.resolve())
            os.sync()   # nothing is written any more while others are measured
        return folder
    return corpus_of


@pytest.fixture
def child():
    "A function: run a command, give its largest resident memory in MB"
    def child(*args, cwd):
        code = f"import resource, subprocess; subprocess.run({list(map(str, args))!r}, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/1024)"
        return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=cwd, env=os.environ | dict(TQDM_DISABLE="1")).stdout)
    return child
