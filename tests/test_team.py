"Two processes that train together learn what one learns."
import json, os, subprocess, sys

import pytest

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


def test_the_same_loss_curve(run, tmp_path):
    assert run("audiomnist", "synth", "--to", "corpus", "--speakers", 10, "--takes", 1, cwd=tmp_path)[0] == 0
    (tmp_path/"features.yml").write_text("n_mfcc: 20\naggregate_over_t: true\n")
    assert run("audiomnist", "dataset", "--data-path", "corpus", "--config-path", "features.yml", "--name", "x", cwd=tmp_path)[0] == 0
    train = lambda name: ["train", "--data-path", "data/processed/x.npz", "--config-path", f"{name}.yml", "-r"]
    for name in ("one", "two"): (tmp_path/f"{name}.yml").write_text(SETTINGS.format(name=name))
    code, _, error = run("audiomnist", *train("one"), cwd=tmp_path)
    assert code == 0, error
    launched = subprocess.run([sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
                               "-m", "audiomnist_nb.cli", *train("two")], cwd=tmp_path, capture_output=True, text=True, env=os.environ | dict(OMP_NUM_THREADS="1"))
    assert launched.returncode == 0, launched.stderr
    one, two = (json.loads((tmp_path/f"reports/{name}_v010/metrics.json").read_text())["history"] for name in ("one", "two"))
    assert len(one) == len(two) == 4 and launched.stdout.count("validation accuracy") == 1
    for a, b in zip(one, two):
        for key in ("train_loss", "valid_loss"): assert abs(a[key] - b[key]) < 1e-4, (a, b)
