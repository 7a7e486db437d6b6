"""Each group is one thing done by this package and by others, side by side in one run; only ratios within a group mean anything.

`make bench` runs all and writes benchmarks/results.md and benchmarks/results.png."""
import multiprocessing, shutil, sys
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch

from audiomnist_nb.config import FeatureConfig, ModelConfig, TrainConfig
from audiomnist_nb.corpora import scan
from audiomnist_nb.features import Dataset, FeatureExtractor, extract_features, read_audio
from audiomnist_nb.infer import Recogniser
from audiomnist_nb.models import build
from audiomnist_nb.train import Trainer
from reference import SETTINGS, librosa_mfcc, network_as_described, per_item_epoch

ROOT = Path(__file__).resolve().parent.parent
AVERAGED = FeatureConfig(resampling_rate=16000, aggregate_over_t=True, **SETTINGS)
program = lambda name: Path(sys.executable).with_name(name)
both = pytest.mark.parametrize("who", ["audiomnist_nb", "reference"])


# MFCCs of 300 files at 48 kHz: who else gives the same features, and who only similar ones
def _peer(name):
    if name == "python_speech_features":
        peer = pytest.importorskip("python_speech_features")
        return lambda w: peer.mfcc((w*32767).astype(np.int16), 16000, numcep=20, nfilt=40, nfft=512).mean(0)
    if name == "kaldi-native-fbank":
        peer = pytest.importorskip("kaldi_native_fbank")
        options = peer.MfccOptions()
        options.num_ceps = 20
        options.mel_opts.num_bins = 40
        def mfcc(w):
            frames = peer.OnlineMfcc(options)
            frames.accept_waveform(16000, w.tolist())
            frames.input_finished()
            return np.mean([frames.get_frame(i) for i in range(frames.num_frames_ready)], 0)
        return mfcc
    if name == "audioflux":
        peer = pytest.importorskip("audioflux")
        return lambda w: peer.mfcc(w, cc_num=20, mel_num=128, radix2_exp=9, samplate=16000, slide_length=160, low_fre=20, high_fre=8000)[0].mean(1)
    peer = pytest.importorskip("nnAudio.features")   # the same features as librosa's
    mfcc = peer.MFCC(16000, 20, n_fft=512, hop_length=160, n_mels=128, fmin=20, pad_mode="constant", verbose=False)
    return lambda w: mfcc(torch.from_numpy(w)[None])[0].mean(1).numpy()


@pytest.mark.benchmark(group="MFCCs of 300 recordings, 48 kHz")
@pytest.mark.parametrize("who", ["audiomnist_nb", "librosa, file by file", "nnAudio", "audioflux", "python_speech_features", "kaldi-native-fbank"])
def test_features(benchmark, corpus_of, who):
    recordings, extractor = scan(corpus_of(300)), FeatureExtractor(AVERAGED)
    if who == "audiomnist_nb": work = lambda: extract_features(recordings, extractor)
    elif who.startswith("librosa"): work = lambda: [librosa_mfcc(r.path) for r in recordings]
    else:
        peer = _peer(who)
        work = lambda: [peer(soxr.resample(*read_audio(r.path), 16000)) for r in recordings]
    benchmark.pedantic(work, rounds=100 if who == "audiomnist_nb" else 20, warmup_rounds=1)


def test_the_same_features(voices):
    for r in scan(voices)[:5]:
        expected, w = librosa_mfcc(r.path), soxr.resample(*read_audio(r.path), 16000)
        np.testing.assert_allclose(extract_features([r], FeatureExtractor(AVERAGED))[0][0], expected, atol=5e-3)
        np.testing.assert_allclose(_peer("nnAudio")(w), expected, atol=1e-3)


@pytest.mark.benchmark(group="a dataset of 3,000 recordings, the whole command")
@both
def test_whole_command(benchmark, corpus_of, child, tmp_path, who):
    folder, settings = corpus_of(3000), ROOT/"config/data/data_20f_agg.yml"
    command = (program("audiomnist"), "dataset", "--data-path", folder, "--config-path", settings, "--name", "x", "--no-cache")
    if who == "reference": command = (sys.executable, ROOT/"benchmarks/reference.py", folder, tmp_path/"x.npz")
    benchmark.pedantic(lambda: child(*command, cwd=tmp_path), rounds=2)


@pytest.mark.benchmark(group="growth: recordings at 48 kHz to padded MFCCs (480 MB at 30,000), the whole command")
@pytest.mark.parametrize("n", [300, 3000, 30000])
def test_growth(benchmark, corpus_of, child, tmp_path, n):
    folder, settings = corpus_of(n), ROOT/"config/data/data_20f_notagg.yml"
    command = (program("audiomnist"), "dataset", "--data-path", folder, "--config-path", settings, "--name", "x", "--no-cache")
    peak = benchmark.pedantic(lambda: child(*command, cwd=tmp_path), rounds=1)
    benchmark.extra_info["peak memory, MB"] = round(peak)


def _epochs(model, shape, batchsize, who, connection):
    "Train one epoch for each word that comes, in a process of its own: how fast memory is had depends on what was done before"
    config = TrainConfig(model=ModelConfig(type=model), batchsize=batchsize, device="cpu", amp="bfloat16" if "bfloat16" in who else False)
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(1600, *shape, generator=rng), torch.randint(0, 10, (1600,), generator=rng)
    if who == "reference": epoch = per_item_epoch(network_as_described(model).train(), x, y, batchsize)
    else: epoch = Trainer(build(config.model, shape, 0), config, Dataset(x.numpy(), y.numpy())).epoch
    while connection.recv():
        epoch()
        connection.send(True)


@pytest.mark.benchmark(group="training for an epoch of 1,600 recordings (network, input shape, batch size)")
@pytest.mark.parametrize("who", ["audiomnist_nb", "audiomnist_nb, bfloat16", "reference"])
@pytest.mark.parametrize("model, shape, batchsize", [("FCNN", (20,), 32), ("CNN", (20, 200), 100)])
def test_training(benchmark, model, shape, batchsize, who):
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_epochs, args=(model, shape, batchsize, who, there))
    process.start()
    def epoch():
        here.send(True)
        here.recv()
    benchmark.pedantic(epoch, rounds=7, warmup_rounds=1)
    here.send(False)
    process.join()


@pytest.mark.benchmark(group="answers of the packaged model, from file to digit, for 1 and 64 recordings")
@pytest.mark.parametrize("n", [1, 64])
def test_latency(benchmark, voices, n):
    recogniser, recordings = Recogniser.load(), scan(voices)[:n]
    benchmark.pedantic(lambda: recogniser.predict(recordings), rounds=10, warmup_rounds=2)


@pytest.mark.benchmark(group="audiomnist infer on 56 files, cold start (the reference: features only)")
@both
def test_cold_start(benchmark, voices, child, tmp_path, who):
    (tmp_path/"test").mkdir()
    for r in scan(voices)[:56]: shutil.copy(r.path, tmp_path/"test")
    command = (program("audiomnist"), "infer", "--data-path", tmp_path/"test")
    if who == "reference": command = (sys.executable, ROOT/"benchmarks/reference.py", tmp_path/"test", tmp_path/"x.npz")   # features only: no network, no table
    benchmark.pedantic(lambda: child(*command, cwd=tmp_path), rounds=3, warmup_rounds=1)
