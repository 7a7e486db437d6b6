"Real recordings: agreement with librosa, the default model, and the reference's first epoch. Skipped where AUDIOMNIST_REAL is not set."
import numpy as np
import pytest

from audiomnist_nb.config import FeatureConfig, load_train_config
from audiomnist_nb.corpora import scan
from audiomnist_nb.export import disagreement, export_onnx
from audiomnist_nb.features import Dataset, FeatureExtractor, extract, features_of, librosa_features, read_audio, resample
from audiomnist_nb.infer import Recogniser
from audiomnist_nb.speak import words
from audiomnist_nb.train import train


@pytest.mark.parametrize("config", [FeatureConfig(n_mfcc=20, aggregate_over_t=True), FeatureConfig(n_mfcc=20, padding=200), FeatureConfig(feature="log_mel", n_mels=40, resampling_rate=8000, padding=80)], ids=["averaged", "padded", "log_mel"])
def test_features_agree_with_librosa(real, config):
    recordings = scan(real/"beltran") + scan(real/"fsdd")[::30]
    waveforms = [resample(*read_audio(r.path), config.resampling_rate) for r in recordings]
    assert len(waveforms) == 156
    differences = abs(features_of(waveforms, FeatureExtractor(config)) - np.stack([librosa_features(w, config) for w in waveforms]))
    assert differences.max() <= 5e-3


@pytest.mark.parametrize("amp", [False, "bfloat16"])
def test_the_reference_network_learns_as_the_reference_does(real, amp):
    dataset = Dataset.load(real/"audiomnist-mfcc/20f_agg.npz")
    run = train(dataset, load_train_config(split="random", epochs=1, device="cpu", amp=amp))
    assert abs(run.metrics["valid_accuracy"] - 0.6797) < 0.02   # the reference's own code after its first epoch


def test_speakers_of_the_reference_features_are_blocks_of_500(real):
    dataset = Dataset.load(real/"audiomnist-mfcc/20f_agg.npz", speaker_block=500)
    assert len(dataset.y) == 30_000 and len(set(dataset.speaker)) == 60
    for digits in dataset.y.reshape(60, 500): assert np.bincount(digits, minlength=10).tolist() == [50]*10   # each said every digit 50 times
    run = train(dataset, load_train_config(epochs=1, device="cpu", hidden_sizes=[32], lr=1e-3))
    assert len(run.metrics["validation_speakers"]) == 12


def test_five_voices_teach_more_than_chance_about_a_sixth(real):
    recordings = scan(real/"fsdd")
    config = FeatureConfig(n_mfcc=20, aggregate_over_t=True)
    heard = extract([r for r in recordings if r.speaker != "yweweler"], config)
    assert len(heard) == 2500 and len(set(heard.speaker)) == 5
    run = train(heard, load_train_config(lr=1e-4, epochs=5, device="cpu", hidden_sizes=[256, 256]))
    assert run.metrics["valid_accuracy"] > 0.3


def test_the_default_model_knows_the_voices_it_was_trained_on(real):
    predictions = Recogniser.load().predict([r.path for r in scan(real/"fsdd")[::30]])
    assert predictions.accuracy >= 0.97


def test_the_exported_model_agrees_with_torch(real, tmp_path):
    recogniser = Recogniser.load()
    export_onnx(None, tmp_path/"model.onnx")
    waveforms = [resample(*read_audio(r.path), recogniser.trained.features.resampling_rate) for r in scan(real/"beltran") + scan(real/"fsdd")[::30]]
    assert disagreement(tmp_path/"model.onnx", recogniser, waveforms) <= 1e-4


def test_digits_in_a_row_are_cut_into_single_ones(real):
    rng, found = np.random.default_rng(0), 0
    recordings = scan(real/"fsdd")[::50]
    for start in range(0, 60, 4):
        said = [resample(*read_audio(r.path), 8000) for r in recordings[start:start + 4]]
        row = np.concatenate([part for word in said for part in (np.zeros(4000, np.float32), word)] + [np.zeros(4000, np.float32)])
        row += 0.01*np.sqrt(np.mean(row**2))*rng.standard_normal(len(row)).astype(np.float32)   # a quiet room
        found += len(words(row, 8000)) == 4
    assert found >= 14
