"On a GPU: what the CPU gives, and the same again and again. Skipped where there is none."
import numpy as np
import pytest
import torch

from audiomnist_nb.adapt import adapted
from audiomnist_nb.config import FeatureConfig, load_train_config
from audiomnist_nb.corpora import synthesize
from audiomnist_nb.features import FeatureExtractor, extract, features_of, read_audio, resample
from audiomnist_nb.infer import Recogniser
from audiomnist_nb.reject import Clouds, last_hidden
from audiomnist_nb.train import train

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
LOG_MEL = dict(feature="log_mel", resampling_rate=8000, n_fft=256, n_mels=40, hop_length=100, fmin=60, fmax=3800, padding=80)
FEATURES = dict(FCNN=dict(n_mfcc=20, aggregate_over_t=True), CNN=dict(n_mfcc=20), AudioNet=dict(feature="waveform", resampling_rate=8000), PlainCNN=LOG_MEL, BCResNet=LOG_MEL, ResNet=LOG_MEL)
AUGMENT = dict(frequency_warp=[0.8, 1.2], time_warp=[0.8, 1.2], shift=0.1, equaliser=3, noise=[0, 40], babble=[0, 40], gate=[12, 45], crop=0.1, band=[3000, 3500], masks=1, mixup=0.2)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory): return list(synthesize(tmp_path_factory.mktemp("voices")/"espeak", speakers=10, takes=1, seed=0))


@pytest.fixture(scope="module", params=FEATURES)
def learn(request, recordings):
    "A function of a device and settings: a run of three epochs of one network"
    dataset = extract(recordings, FeatureConfig(**FEATURES[request.param]))
    own = dict(augment=AUGMENT, outliers=20) if "n_mels" in FEATURES[request.param] else {}
    def learn(device, folder=None, on_epoch=None, **settings):
        config = load_train_config(model=request.param, optimizer="AdamW", lr=1e-3, batchsize=20, earlystop=False, averaging=0.9, device=device, **dict(epochs=3) | own | settings)
        return train(dataset, config, folder=folder, on_epoch=on_epoch)
    return learn


def weights(run): return torch.cat([value.flatten().double() for value in run.trained.network.state_dict().values()])


@pytest.mark.parametrize("amp", [False, True, "bfloat16"])
def test_the_same_seed_gives_the_same_weights(learn, amp):
    assert torch.equal(weights(learn(DEVICE, amp=amp)), weights(learn(DEVICE, amp=amp)))


def test_an_interrupted_run_ends_with_the_same_weights(learn, tmp_path):
    def stop(row):
        if row["epoch"] == 2: raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): learn(DEVICE, tmp_path/"checkpoint", stop, checkpoint=1)
    assert (tmp_path/"checkpoint").exists()
    assert torch.equal(weights(learn(DEVICE, tmp_path/"checkpoint", checkpoint=1)), weights(learn(DEVICE, checkpoint=1)))


def test_it_learns_as_on_the_cpu(learn, monkeypatch):
    for name in ("dropout", "dropout2d"): monkeypatch.setattr(torch.nn.functional, name, lambda x, *_: x)   # a GPU draws other units
    here, there = (learn(device, amp=False, epochs=1).history.train_loss.iloc[0] for device in ("cpu", DEVICE))
    assert abs(here - there) < 0.02, f"{here} and {there}"


def test_a_recurrent_network_adapts_as_well(recordings):
    dataset = extract(recordings, FeatureConfig(**LOG_MEL))
    network = train(dataset, load_train_config(model="CRNN", optimizer="AdamW", lr=3e-3, epochs=10, earlystop=False, device=DEVICE)).trained.network.to(DEVICE)
    copy = adapted(network, torch.from_numpy(dataset.x[:40]).to(DEVICE))
    assert all(weight.isfinite().all() for weight in copy.state_dict().values())


def test_it_adapts_as_on_the_cpu(recordings):
    here, there = (Recogniser.load(device=device).predict(recordings, adapt=True) for device in ("cpu", DEVICE))
    assert here.adapted.all() and (here.adapted == there.adapted).all()
    assert np.allclose(here.probabilities, there.probabilities, atol=0.02)


def test_features_are_those_of_the_cpu(recordings):
    for settings in FEATURES.values():
        config = FeatureConfig(**settings)
        waveforms = [resample(*read_audio(r.path), config.resampling_rate) for r in recordings]
        here, there = (features_of(waveforms, FeatureExtractor(config).to(device)) for device in ("cpu", DEVICE))
        assert abs(here - there).max() < 5e-3


def test_answers_are_those_of_the_cpu(recordings):
    here, there = Recogniser.load(), Recogniser.load(device=DEVICE)
    a, b = (r.predict([recording.path for recording in recordings], reject=True) for r in (here, there))
    assert abs(a.probabilities - b.probabilities).max() < 0.02
    assert (a.rejected != b.rejected).mean() < 0.05
    x = torch.randn(50, *here.network.input_shape, generator=torch.Generator().manual_seed(0))*10
    clouds = Clouds.of(last_hidden(here.network, x), np.arange(50) % 10)
    assert np.allclose(clouds.score(last_hidden(here.network, x)), clouds.score(last_hidden(there.network, x.to(DEVICE))), rtol=0.02)
