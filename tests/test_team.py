"Two processes that train together learn what one learns."
import json, os, subprocess, sys

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

pytest.importorskip("accelerate")

SETTINGS = """
name: {name}
model: {{type: FCNN, layers: {{hidden_sizes: [64, 32]}}}}
optimizer: {{type: SGD, params: {{lr: 0.05}}}}
batchsize: 33
epochs: 4
earlystop: false
device: cpu
"""


SCRIPT = """
import sys
from pathlib import Path
from audiomnist_nb.config import load_train_config
from audiomnist_nb.features import Dataset
from audiomnist_nb.train import rank, train

def watch(row):
    if sys.argv[2:] == ["stop"] and row["epoch"] == 3: raise SystemExit

config = load_train_config(model="FCNN", hidden_sizes=[64], lr=1e-3, epochs=4, earlystop=False, keep="last", device="cpu", checkpoint=1, augment=dict(mixup=0.4))
run = train(Dataset.load("data/processed/x.npz"), config, folder=Path(sys.argv[1]), on_epoch=watch)
if not rank(): print(run.metrics["processes"], run.trained.network.layers[0].weight.double().sum().item().hex())
"""


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    "A folder with a small dataset"
    folder = tmp_path_factory.mktemp("team")
    assert run("audiomnist", "synth", "--to", "corpus", "--speakers", 10, "--takes", 1, cwd=folder)[0] == 0
    (folder/"features.yml").write_text("n_mfcc: 20\naggregate_over_t: true\n")
    assert run("audiomnist", "dataset", "--data-path", "corpus", "--config-path", "features.yml", "--name", "x", cwd=folder)[0] == 0
    return folder


def launch(*args, cwd, processes=2, fails=False):
    "Processes that run this together: what they print, or say where they fail"
    done = subprocess.run([sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", *args],
                          cwd=cwd, capture_output=True, text=True, env=os.environ | dict(OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""))   # without GPUs, it starts processes that talk by gloo
    assert fails or done.returncode == 0, done.stderr
    return done.stderr if fails else done.stdout


def test_the_same_loss_curve(run, folder):
    train = lambda name: ["train", "--data-path", "data/processed/x.npz", "--config-path", f"{name}.yml", "-r"]
    for name in ("one", "two"): (folder/f"{name}.yml").write_text(SETTINGS.format(name=name))
    code, _, error = run("audiomnist", *train("one"), cwd=folder)
    assert code == 0, error
    printed = launch("-m", "audiomnist_nb.cli", *train("two"), cwd=folder)
    metrics = [json.loads((folder/f"reports/{name}_v010/metrics.json").read_text()) for name in ("one", "two")]
    assert [m["processes"] for m in metrics] == [1, 2] and printed.count("validation accuracy") == 1
    one, two = (m["history"] for m in metrics)
    assert len(one) == len(two) == 4
    for a, b in zip(one, two):
        for key in ("train_loss", "valid_loss"): assert abs(a[key] - b[key]) < 1e-4, (a, b)


NOTEBOOK = """
import socket
from accelerate import notebook_launcher
def together():
    from audiomnist_nb.config import load_train_config
    from audiomnist_nb.features import Dataset
    from audiomnist_nb.train import train
    train(Dataset.load("data/processed/x.npz"), load_train_config("two.yml", name="cell")).save("models", "reports")
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
notebook_launcher(together, num_processes=2, use_port=str(port))
"""


def test_from_a_notebook(folder, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (folder/"two.yml").write_text(SETTINGS.format(name="two"))
    NotebookClient(new_notebook(cells=[new_code_cell(NOTEBOOK)]), timeout=300, resources=dict(metadata=dict(path=folder))).execute()
    launch("-m", "audiomnist_nb.cli", "train", "--data-path", "data/processed/x.npz", "--config-path", "two.yml", "-r", cwd=folder)
    cell, command = (json.loads((folder/f"reports/{name}_v010/metrics.json").read_text()) for name in ("cell", "two"))
    assert cell["processes"] == 2 and [row["valid_loss"] for row in cell["history"]] == [row["valid_loss"] for row in command["history"]]


def test_interrupted_together_they_go_on_together(folder):
    (folder/"team.py").write_text(SCRIPT)
    whole = launch("team.py", "whole", cwd=folder)
    assert whole.startswith("2 ")
    assert launch("team.py", "parts", "stop", cwd=folder) == "" and (folder/"parts/state.json").exists()
    assert launch("team.py", "parts", cwd=folder) == whole


@pytest.mark.parametrize("change, processes, message", [(("SGD", "LBFGS"), 2, "train with one process"), (("batchsize: 33", "batchsize: 2"), 3, "batches of 2 recordings can't be shared by 3 processes")])
def test_what_a_team_can_not_do_is_said(folder, change, processes, message):
    (folder/"wrong.yml").write_text(SETTINGS.format(name="wrong").replace(*change))
    assert message in launch("-m", "audiomnist_nb.cli", "train", "--data-path", "data/processed/x.npz", "--config-path", "wrong.yml", cwd=folder, processes=processes, fails=True)


def test_cross_validation_by_a_team(run, folder):
    validate = lambda name, *more: ["validate", "--data-path", "data/processed/x.npz", "--config-path", f"{name}.yml", "--test-speakers", "s0x001,s0x002", *more]
    for name in ("alone", "both"): (folder/f"{name}.yml").write_text(SETTINGS.format(name=name))
    assert "side by side" in launch("-m", "audiomnist_nb.cli", *validate("both", "-j", "2"), cwd=folder, fails=True) and not list(folder.glob("reports/both_v010/**/metrics.json"))
    code, alone, error = run("audiomnist", *validate("alone"), cwd=folder)
    assert code == 0, error
    printed = launch("-m", "audiomnist_nb.cli", *validate("both"), cwd=folder)
    assert printed.replace("both", "alone").splitlines() == alone.splitlines()   # once, and the same
    assert (folder/"reports/both_v010/validate_loso/run.log").read_text().count("accuracy") == (folder/"reports/alone_v010/validate_loso/run.log").read_text().count("accuracy")
