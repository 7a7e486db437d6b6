"""What others do, one recording and one item at a time: the other side of each ratio.

`python benchmarks/reference.py FOLDER OUT.npz` makes a dataset as the reference pipeline does: librosa for each file, one after another."""
import sys
from pathlib import Path

import numpy as np

SETTINGS = dict(n_mfcc=20, n_fft=512, hop_length=160)


def librosa_mfcc(path) -> np.ndarray:
    "Averaged MFCCs of a file, as the reference computes them"
    import librosa
    y, sr = librosa.load(path, sr=16000)
    return librosa.feature.mfcc(y=y, sr=sr, fmin=20, fmax=sr/2, **SETTINGS).mean(1)


def network_as_described(model: str):
    "The reference's networks, layer by layer as its report describes them"
    from torch import nn
    if model == "FCNN":
        hidden = [layer for a, b in [(20, 1024), (1024, 1024), (1024, 1024)] for layer in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU())]
        return nn.Sequential(*hidden, nn.Linear(1024, 10), nn.LogSoftmax(1))
    blocks = [layer for inputs in (1, 32, 32) for layer in (nn.Conv2d(inputs, 32, (3, 1), padding=(1, 0)), nn.ReLU(), nn.MaxPool2d((3, 1), 2))]
    return nn.Sequential(nn.Unflatten(1, (1, 20)), *blocks, nn.Dropout(0.25), nn.Flatten(), nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
                         nn.Dropout(0.5), nn.Linear(128, 10), nn.LogSoftmax(1))


def per_item_epoch(network, x, y, batchsize):
    "A function that trains one epoch: a DataLoader over single items, the default Adam"
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    optimizer, batches = torch.optim.Adam(network.parameters(), lr=1e-6), DataLoader(TensorDataset(x, y), batchsize, shuffle=True)
    def epoch():
        total = 0
        for inputs, digits in batches:
            optimizer.zero_grad()
            loss = torch.nn.functional.nll_loss(network(inputs), digits)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total
    return epoch


if __name__ == "__main__":
    paths = sorted(Path(sys.argv[1]).rglob("*.wav"))
    np.savez(sys.argv[2], x=np.stack([librosa_mfcc(path) for path in paths]), y=np.array([int(path.name[0]) for path in paths]))
