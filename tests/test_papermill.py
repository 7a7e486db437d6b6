"The notebooks as experiments: from the root, from nbs/, with parameters, with a file of them."
import json, shutil

import pytest

from conftest import ROOT


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    "A copy of the notebooks and settings, so that models and reports of the tests stay out of the checkout"
    folder = tmp_path_factory.mktemp("project")
    for name in ("nbs", "config"): shutil.copytree(ROOT/name, folder/name)
    shutil.copy(ROOT/"settings.ini", folder)
    return folder


def metrics(project, experiment): return json.loads((project/f"reports/{experiment}/metrics.json").read_text())


def test_train_from_the_root(project, run):
    code, _, error = run("papermill", "nbs/02_train.ipynb", "out.ipynb", "-p", "lr", "1e-6", "-p", "epochs", "2", cwd=project)
    assert code == 0, error
    assert metrics(project, "synthetic_v010")["settings"]["optimizer"]["params"] == {"lr": 1e-6}
    text = (project/"out.ipynb").read_text()
    assert "image/png" in text and "models/synthetic_v010" in text


def test_train_and_infer_from_the_notebooks_folder(project, run):
    code, _, error = run("papermill", "02_train.ipynb", "out.ipynb", "-p", "lr", "1e-3", "-p", "model", "CNN", "-p", "optimizer", "AdamW", "-p", "batchsize", "16",
                         "-p", "seed", "3", "-p", "epochs", "2", "-p", "name", "from_nbs", cwd=project/"nbs")
    assert code == 0, error
    settings = metrics(project, "from_nbs_v010")["settings"]
    assert (settings["model"]["type"], settings["optimizer"], settings["batchsize"], settings["seed"]) == ("CNN", {"type": "AdamW", "params": {"lr": 1e-3}}, 16, 3)
    code, _, error = run("papermill", "03_infer.ipynb", "infer.ipynb", "-p", "model", "models/from_nbs_v010", cwd=project/"nbs")
    assert code == 0, error
    assert (project/"reports/from_nbs_v010/infer_new/cm.png").exists()


def test_a_file_of_parameters(project, run):
    (project/"config/experiments/small.yml").write_text("config: config/models/config_20f.yml\nname: small\nlr: 1e-4\nepochs: 1\nhidden_sizes: [16]\n")
    code, _, error = run("papermill", "nbs/02_train.ipynb", "out.ipynb", "-f", "config/experiments/small.yml", cwd=project)
    assert code == 0, error
    settings = metrics(project, "small_v010")["settings"]
    assert settings["optimizer"]["params"] == {"lr": 1e-4} and settings["model"]["layers"]["hidden_sizes"] == [16]


def test_a_settings_file_is_not_overridden(project, run):
    code, _, error = run("papermill", "nbs/02_train.ipynb", "out.ipynb", "-p", "config", "config/models/config_cnn.yml", "-p", "epochs", "1", cwd=project)
    assert code == 0, error
    settings = metrics(project, "mymodel_cnn_v010")["settings"]
    assert settings["model"]["type"] == "CNN" and settings["optimizer"] == {"type": "SGD", "params": {"lr": 1e-4, "momentum": 0.9}}


def test_an_unknown_parameter_is_refused(project, run):
    code, _, error = run("papermill", "nbs/02_train.ipynb", "out.ipynb", "-p", "learning_rate", "1e-6", cwd=project)
    assert code != 0 and "learning_rate: unknown parameter (allowed: data, config," in error
