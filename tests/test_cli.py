"The command line, as a person uses it: in another folder, by its installed name."
import json, os, re, shutil, signal, sqlite3, subprocess, sys, time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiomnist_nb.cli import app, main
from audiomnist_nb.models import FCNN
from conftest import ROOT

AGG, CONFIG = ROOT/"config/data/data_20f_agg.yml", ROOT/"config/models/config_20f.yml"


@pytest.fixture(scope="module")
def work(tmp_path_factory, run):
    "A folder with a corpus, a dataset, a trained model and other voices to test on"
    folder = tmp_path_factory.mktemp("work")
    for args in (["synth", "--to", "data/raw/voices", "--speakers", 8, "--takes", 2], ["synth", "--to", "data/test/voices", "--speakers", 2, "--takes", 1, "--seed", 1],
                 ["dataset", "--data-path", "data/raw/voices/", "--config-path", AGG, "--name", "voices", "-v"],
                 ["train", "--data-path", "data/processed/voices.npz", "--config-path", CONFIG, "--lr", "1e-3", "--epochs", 8, "--name", "quick", "-r", "-p", "-v"]):
        code, out, error = run("audiomnist", *args, cwd=folder)
        assert code == 0, error
    return folder


def test_nothing_heavy_is_imported_before_a_command_runs():
    heavy = "{'torch', 'librosa', 'numpy', 'pandas', 'matplotlib', 'sklearn', 'pydantic'}"
    subprocess.run([sys.executable, "-c", f"import sys, audiomnist_nb.cli; assert not {heavy} & set(sys.modules)"], check=True)


def test_answers_do_without_what_only_training_needs():
    "torch._dynamo comes with the first optimizer and takes a second of a cold start, pandas a quarter of one"
    subprocess.run([sys.executable, "-c", "import sys, numpy; from audiomnist_nb.infer import Recogniser; Recogniser.load().predict(numpy.ones(8000), 8000); assert not {'torch._dynamo', 'pandas'} & set(sys.modules)"], check=True)


def test_help_names_every_command(run, tmp_path):
    code, out, _ = run("audiomnist", "--help", cwd=tmp_path)
    assert code == 0 and {command.name for command in app.registered_commands} <= set(out.split())
    code, out, error = run("audiomnist", "synth", "--spekers", 2, cwd=tmp_path)
    assert (code, out) == (2, "") and "--speakers" in error


def test_training_leaves_a_model_and_a_report(work):
    assert sorted(p.name for p in (work/"models/quick_v010").iterdir()) == ["settings.json", "weights.safetensors"]
    assert sorted(p.name for p in (work/"reports/quick_v010").iterdir()) == ["accuracy.png", "loss.png", "metrics.json", "run.log", "split.csv"]
    assert "INFO epoch 1: training loss" in (work/"reports/quick_v010/run.log").read_text()


@pytest.mark.parametrize("model", [["--model", "models/quick_v010"], ["--config", "quick.yml"], ["--model", "models/quick_v010", "--data-config", AGG]])
def test_infer_ends_with_the_accuracy(work, run, model):
    (work/"quick.yml").write_text("name: quick\nversion: 0.1.0\n")
    code, out, error = run("audiomnist", "infer", *model, "--data-path", "data/test/voices", "-r", "-v", cwd=work)
    assert code == 0, error
    rows = re.findall(r"data/test/voices/(\d)_s1x00\d_0\.wav: (\d) \(\d\.\d\d\)", out)
    right = sum(digit == answer for digit, answer in rows)
    assert len(rows) == 20 and out.splitlines()[-1] == f"accuracy: {right/20:.4f} ({right}/20)"
    assert sorted(p.name for p in (work/"reports/quick_v010/infer_voices").iterdir()) == ["cm.png", "metrics.json", "predictions.csv"]


def test_one_recording_without_a_label(work, run):
    shutil.copy(work/"data/test/voices/7_s1x000_0.wav", work/"hello.wav")
    code, out, _ = run("audiomnist", "infer", "--model", "models/quick_v010", "--data-path", "hello.wav", cwd=work)
    assert code == 0 and re.fullmatch(r"hello\.wav: \d \(\d\.\d\d\)\nanswered: 1 recordings \(no digits in their names\)\n", out)


def test_recordings_without_labels_are_all_answered(work, run):
    (work/"memos").mkdir()
    for i in range(12): shutil.copy(work/f"data/test/voices/{i % 10}_s1x000_0.wav", work/f"memos/memo{i}.wav")
    code, out, _ = run("audiomnist", "infer", "memos", "--model", "models/quick_v010", cwd=work)
    assert code == 0 and len(re.findall(r"^memos/memo\d+\.wav: \d \(\d\.\d\d\)$", out, re.M)) == 12 and out.endswith("answered: 12 recordings (no digits in their names)\n")


def test_voices_that_were_trained_on_are_no_test(work, run):
    voices = lambda folder: run("audiomnist", "infer", folder, "--model", "models/quick_v010", cwd=work)[2]
    assert re.search(r"6 of 8 speakers have the name of one that the model was trained on", voices("data/raw/voices"))
    assert "trained on" not in voices("data/test/voices")


def test_a_model_of_other_settings_is_not_replaced_unsaid(work, run):
    train = lambda *more: run("audiomnist", "train", "--data-path", "data/processed/voices.npz", "--config-path", CONFIG, "--name", "mine", "--lr", "1e-3", *more, cwd=work)
    code, out, error = train("--epochs", 2)
    assert code == 0 and "holds a model" not in error
    assert "holds a model" not in train("--epochs", 2)[2] and "models/mine_v010 holds a model of other settings or data" in train("--epochs", 3)[2]


def test_the_model_in_the_box_needs_no_name(work, run):
    shutil.copy(work/"data/test/voices/7_s1x000_0.wav", work/"seven.wav")
    code, out, error = run("audiomnist", "infer", "seven.wav", cwd=work)
    assert code == 0, error
    assert re.match(r"seven\.wav: 7 \(\d\.\d\d\)\n", out)


def test_the_model_in_the_box_adapts_to_each_speaker(work, run):
    code, out, error = run("audiomnist", "infer", "data/test/voices", "--adapt", "-r", cwd=work)
    assert code == 0 and re.fullmatch(r"report: .+_adapted\naccuracy: \S+ \(\d+/20\); adapted to 2 of 2 speakers\n", out), error
    assert json.loads((work/"reports/default_model/infer_voices_adapted/metrics.json").read_text())["adapted_recordings"] == 20
    code, _, error = run("audiomnist", "infer", "data/test/voices", "--adapt", "--reject", cwd=work)
    assert code == 2 and "ask for one of the two" in error


def test_the_same_seed_gives_the_same_weights_in_another_process(work, run):
    arguments = ["--data-path", "data/processed/voices.npz", "--config-path", CONFIG, "--lr", "1e-3", "--epochs", 8]
    assert run("audiomnist", "train", *arguments, "--name", "again", cwd=work)[0] == 0
    assert run("audiomnist", "train", *arguments, "--name", "other", "--seed", 1, cwd=work)[0] == 0
    weights = {name: (work/f"models/{name}_v010/weights.safetensors").read_bytes() for name in ("quick", "again", "other")}
    assert weights["quick"] == weights["again"] != weights["other"]


def test_a_folder_of_the_reference_pipeline(work, run):
    network, folder = FCNN((20,), [16]), work/"models/theirs_v010"
    folder.mkdir()
    torch.save(network.state_dict(), folder/"theirs_v010.pth")
    (folder/"theirs_v010_params.json").write_text(json.dumps(dict(model_type="FCNN", input_size=20, hidden_sizes=[16], output_size=10, activation_fn=dict(type="ReLU", params={}))))
    arguments = ["infer", "--model", folder, "--data-path", "data/test/voices"]
    code, _, error = run("audiomnist", *arguments, cwd=work)
    assert code == 2 and "the model doesn't say how its features are made" in error and "--data-config" in error
    code, out, error = run("audiomnist", *arguments, "--data-config", AGG, cwd=work)
    assert code == 0 and re.fullmatch(r"accuracy: 0\.\d{4} \(\d+/20\)", out.splitlines()[-1]), error


def test_only_some_speakers(work, run):
    code, out, _ = run("audiomnist", "dataset", "--data-path", "data/raw/voices", "--config-path", AGG, "--name", "two", "--speakers", "s0x000,s0x003", cwd=work)
    assert code == 0 and "40 recordings, 2 speakers" in out


def test_validate_leaves_speakers_out_and_resumes(work, run):
    "Two folds of the eight; the second call trains nothing; then the same in noise, and adapted"
    command = ["audiomnist", "validate", "--data-path", "data/processed/voices.npz", "--config-path", CONFIG, "--test-speakers", "s0x000,s0x001", "--lr", "1e-3", "--epochs", 2, "--name", "loso"]
    code, out, error = run(*command, cwd=work)
    report = work/"reports/loso_v010/validate_loso"
    assert code == 0, error
    assert re.fullmatch(r"s0x00[01]: .+\ns0x00[01]: .+\nreport: .+\naccuracy: 0\.\d{4} ± .+ over folds; speakers: .+ worst s0x00[01] .+\n", out)
    assert {"metrics.json", "split.csv", "speakers.csv", "run.log"} <= {path.name for path in report.iterdir()}
    written = (report/"s0x000_seed42/metrics.json").stat().st_mtime_ns
    assert run(*command, cwd=work)[1] == out and (report/"s0x000_seed42/metrics.json").stat().st_mtime_ns == written
    code, out, error = run(*command[:-1], "noisy", "--conditions", "--adapt", cwd=work)
    assert code == 0 and re.search(r"^white 10: 0\.\d+, adapted 0\.\d+$", out, re.M) and re.search(r"; adapted: 0\.\d+, worst s0x00[01] 0\.\d+\n$", out) and (work/"reports/noisy_v010/validate_loso/robustness.png").is_file(), error


def test_tune_goes_on_and_train_takes_the_best(work, run):
    (work/"search.yml").write_text("search: {optimizer.params.lr: {low: 1.0e-4, high: 1.0e-2, log: true}, epochs: {choices: [1]}, model.layers.hidden_sizes: {choices: [[16]]}}\ntrials: 2\n")
    command = ["audiomnist", "tune", "--data-path", "data/processed/voices.npz", "--search", "search.yml", "--name", "lr"]
    code, out, error = run(*command, cwd=work)
    assert code == 0 and re.fullmatch(r"best settings: .+\nvalid_loss: .+ of 2\n", out), error
    assert run(*command, "--trials", 3, cwd=work)[1].endswith("of 3\n") and len((work/"reports/lr/trials.csv").read_text().splitlines()) == 4
    code, out, error = run("audiomnist", "train", "--data-path", "data/processed/voices.npz", "--config-path", "reports/lr/best.yml", cwd=work)
    assert code == 0 and "models/lr_v010" in out, error


def test_tune_finds_features_that_dataset_and_train_take(work, run):
    (work/"features.yml").write_text("search: {features.n_mfcc: {choices: [11]}, epochs: {choices: [1]}, model.layers.hidden_sizes: {choices: [[16]]}}\ntrials: 1\n")
    code, out, error = run("audiomnist", "tune", "--data-path", "data/processed/voices.npz", "--search", "features.yml", "--name", "eleven", cwd=work)
    assert code == 0 and "best settings: reports/eleven/best.yml, reports/eleven/best_data.yml\n" in out and "--config-path reports/eleven/best_data.yml --name eleven, then audiomnist train --data-path data/processed/eleven.npz --config-path reports/eleven/best.yml\n" in out, error
    code, _, error = run("audiomnist", "dataset", "--data-path", "data/raw/voices", "--config-path", "reports/eleven/best_data.yml", "--name", "eleven", cwd=work)
    assert code == 0, error
    code, out, error = run("audiomnist", "train", "--data-path", "data/processed/eleven.npz", "--config-path", "reports/eleven/best.yml", cwd=work)
    assert code == 0 and json.loads((work/"models/eleven_v010/settings.json").read_text())["features"]["n_mfcc"] == 11, error


def test_a_calibrated_model_may_reject(work, run):
    shutil.copytree(work/"models/quick_v010", work/"models/sure_v010")
    code, _, error = run("audiomnist", "infer", "data/test/voices", "--model", "models/sure_v010", "--reject", cwd=work)
    assert code == 2 and "audiomnist calibrate --model" in error
    code, out, error = run("audiomnist", "calibrate", "--model", "models/sure_v010", "--data-path", "data/processed/voices.npz", cwd=work)
    assert code == 0 and re.search(r"^threshold .+ digits rejected, ROC area 0\.\d+$", out, re.M), error
    code, out, error = run("audiomnist", "infer", "data/test/voices", "--model", "models/sure_v010", "--reject", cwd=work)
    assert code == 0 and re.search(r"accuracy: .+ \(\d+/20\), \d+ rejected; of the others \d+/\d+ are right$", out), error


def test_varied_copies_are_kept(work, run):
    (work/"varied.yml").write_text("copies: 1\nnoise: 1")
    arguments = ["dataset", "--data-path", "data/test/voices", "--config-path", AGG, "--name", "varied", "--augment", "varied.yml"]
    cache = work/"data/cache/features.sqlite"
    rows = lambda: sqlite3.connect(cache).execute("select count(*) from features").fetchone()[0] if cache.exists() else 0
    before = rows()
    assert run("audiomnist", *arguments, "--no-cache", cwd=work)[0] == 0 and rows() == before
    assert run("audiomnist", *arguments, cwd=work)[0] == 0 and rows() == before + 20
    made = (work/"data/processed/varied.npz").read_bytes()
    code, _, error = run("audiomnist", *arguments, "--verbose", cwd=work)
    assert code == 0 and "the copies of 20 of 20 recordings are in data/cache/features.sqlite" in error and (work/"data/processed/varied.npz").read_bytes() == made


def test_an_unreadable_recording_is_named_and_left_out(work, run):
    shutil.copytree(work/"data/test/voices", work/"spoilt")
    (work/"spoilt/3_s1x000_0.wav").write_bytes(b"no sound")
    (work/"spoilt/notes.txt").touch()
    arguments = ["dataset", "--data-path", "spoilt", "--config-path", AGG, "--name", "spoilt"]
    code, out, error = run("audiomnist", *arguments, cwd=work)
    assert code == 0 and "19 recordings" in out
    assert "left out 1: not audio (notes.txt)" in error and "left out: spoilt/3_s1x000_0.wav: not readable as sound" in error
    assert run("audiomnist", *arguments, "--strict", cwd=work)[0] == 2
    skipped = (work/"data/processed/spoilt_skipped.csv").read_text().splitlines()
    assert skipped[:2] == ["path,reason", "spoilt/notes.txt,not audio"] and skipped[2].startswith("spoilt/3_s1x000_0.wav,") and len(skipped) == 3
    shutil.copy(work/"data/test/voices/3_s1x000_0.wav", work/"spoilt")   # mended, it is no longer listed
    (work/"spoilt/notes.txt").unlink()
    assert run("audiomnist", *arguments, cwd=work)[0] == 0 and not (work/"data/processed/spoilt_skipped.csv").exists()


def files(work):
    "Everything that is wrong in one way or another"
    for name, text in dict(unknown="n_mfc: 20", range="n_mfcc: 0", unreadable="n_mfcc: [1", activation="model: {activation: {type: Relu}}",
                           optimizer="optimizer: {type: Adamm}", parameter="optimizer: {type: Adam, params: {lrate: 1}}").items():
        (work/f"{name}.yml").write_text(text)
    for name in ("empty", "nameless", "zero", "cut", "text", "nan"): (work/name).mkdir(exist_ok=True)
    whole = (work/"data/test/voices/3_s1x000_0.wav").read_bytes()
    (work/"nameless/hello.wav").write_bytes(whole)
    (work/"zero/3_x_0.wav").touch()
    (work/"cut/3_x_0.wav").write_bytes(whole[:2000])
    (work/"text/3_x_0.wav").write_text("no sound")
    soundfile.write(work/"nan/3_x_0.wav", np.full(100, np.nan), 8000, subtype="FLOAT")
    np.savez(work/"no_y.npz", x=np.zeros((9, 20), "f4"))
    np.savez(work/"no_x.npz", y=np.zeros(9, int))
    np.savez(work/"sizes.npz", x=np.zeros((9, 13), "f4"), y=np.zeros(9, int))
    shutil.copytree(work/"models/quick_v010", work/"models/half_v010", dirs_exist_ok=True)
    (work/"models/half_v010/weights.safetensors").unlink()
    (work/"models/taken_v010").touch()


DATASET = ["dataset", "--name", "bad", "--config-path", AGG, "--data-path"]
TRAIN = ["train", "--data-path", "data/processed/voices.npz", "--config-path"]
WRONG = [
    (["dataset", "--name", "bad", "--data-path", "data/raw/voices", "--config-path", "unknown.yml"], "unknown.yml: n_mfc: unknown key; did you mean 'n_mfcc'? (allowed: feature, n_mfcc,"),
    (["dataset", "--name", "bad", "--data-path", "data/raw/voices", "--config-path", "range.yml"], "range.yml: n_mfcc: 0 given; input should be greater than or equal to 1"),
    (["dataset", "--name", "bad", "--data-path", "data/raw/voices", "--config-path", "unreadable.yml"], "unreadable.yml: not readable as YAML at line 1, column 11"),
    (["dataset", "--name", "bad", "--data-path", "data/raw/voices", "--config-path", "gone.yml"], "gone.yml: no such file or folder"),
    (["dataset", "--name", "a,b", "--data-path", "data/raw/voices", "--config-path", "range.yml"], "name: 'a,b' given; expected letters"),
    ([*DATASET, "gone"], "gone: no such file or folder"),
    ([*DATASET, "empty"], "empty: no recordings named digit_speaker_take.wav (it is empty)"),
    ([*DATASET, "nameless"], "name is not digit_speaker_take, e.g. hello.wav"),
    ([*DATASET, "zero"], "zero/3_x_0.wav: the file is empty"),
    ([*DATASET, "cut"], "cut/3_x_0.wav: the file is cut short"),
    ([*DATASET, "text"], "text/3_x_0.wav: not readable as sound"),
    ([*DATASET, "nan"], "nan/3_x_0.wav: it holds NaN or infinite samples"),
    ([*DATASET, "data/raw/voices", "--speakers", "s0x0"], "speaker 's0x0' is not in the corpus; did you mean"),
    ([*TRAIN, "activation.yml"], "activation.yml: model.activation: 'Relu' is no torch.nn activation; did you mean 'ReLU'?"),
    ([*TRAIN, "optimizer.yml"], "optimizer.yml: optimizer: 'Adamm' is no torch.optim optimizer; did you mean 'Adam'?"),
    ([*TRAIN, "parameter.yml"], "parameter.yml: optimizer: Adam has no parameter 'lrate' (allowed: lr,"),
    (["train", "--data-path", "no_y.npz"], "no_y.npz: expected arrays x and y, found x"),
    (["train", "--data-path", "no_x.npz"], "no_x.npz: expected arrays x and y, found y"),
    (["train", "--data-path", "sizes.npz"], "the dataset doesn't say who speaks"),
    (["train", "--data-path", "sizes.npz", "--split", "random", "--config-path", CONFIG], "model.layers.input_size is 20, but a recording has 13 values"),
    (["train", "--data-path", "sizes.npz", "--split", "random", "--model", "CNN"], "the CNN needs features (n_coef, n_frames), got (13,)"),
    (["train", "--data-path", "sizes.npz", "--split", "random", "--name", "taken"], "models/taken_v010: expected a folder, found a file"),
    (["infer", "--data-path", "data/test/voices", "--model", "models/half_v010"], "models/half_v010: weights.safetensors is missing"),
    (["infer", "--data-path", "data/test/voices", "--model", "models/gone_v010"], "models/gone_v010: no such file or folder"),
    (["infer"], "name one recording, or one folder of them: audiomnist infer my.wav"),
    (["infer", "--data-path", "data/test/voices", "--model", "models/quick_v010", "--data-config", ROOT/"config/data/data_13f_agg.yml"], "made with other feature settings: n_mfcc 20, not 13"),
    (["record", "--speaker", "anna b"], "speaker: 'anna b' given; expected a name of letters"),
    (["infer", "--data-path", "text/3_x_0.wav", "--model", "models/quick_v010"], "not readable as sound"),
]


def test_each_mistake_is_one_line_and_exit_code_2(work, monkeypatch, capsys):
    "In this process: `main` is what the command calls"
    files(work)
    monkeypatch.chdir(work)
    for args, message in WRONG:
        with pytest.raises(SystemExit) as end: main([str(arg) for arg in args])
        error = capsys.readouterr().err
        assert end.value.code == 2, (args, error)
        assert message in error.splitlines()[-1] and error.splitlines()[-1].startswith("audiomnist: "), (args, error)
    assert not (work/"data/processed/bad.npz").exists()


def test_paths_at_home_and_empty_ones(tmp_path, run):
    (tmp_path/"home").mkdir()
    home = dict(os.environ, HOME=str(tmp_path/"home"))
    assert run("audiomnist", "synth", "--to", "~/voices", "--speakers", 1, "--takes", 1, cwd=tmp_path, env=home)[0] == 0
    assert not (tmp_path/"~").exists()
    shutil.copy(next((tmp_path/"home/voices").iterdir()), tmp_path/"~nobody.wav")
    assert run("audiomnist", "infer", "~nobody.wav", cwd=tmp_path)[0] == 0
    code, _, error = run("audiomnist", "infer", "", cwd=tmp_path)
    assert code == 2 and "the path is empty" in error


@pytest.mark.parametrize("how, code, said", [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "audiomnist: interrupted; the same command, given again, goes on")])
def test_a_stopped_command_cleans_up(tmp_path, how, code, said):
    command = [Path(sys.executable).with_name("audiomnist"), "synth", "--to", "voices", "--speakers", "900", "--takes", "50", "--jobs", "1"]
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)   # what a shell starts in the background ignores it
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    while not list(tmp_path.glob(".voices.unfinished/*.wav")):
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.01)
    process.send_signal(how)
    assert said in process.communicate(timeout=60)[1] and process.returncode == code
    assert not (tmp_path/".voices.lock").exists() and not [p for p in tmp_path.glob(".voices.unfinished/*") if p.is_dir()]


def test_a_killed_command_leaves_nothing_half_written(tmp_path, run):
    command = [Path(sys.executable).with_name("audiomnist"), "synth", "--to", "voices", "--speakers", "900", "--takes", "50", "--jobs", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".voices.unfinished/*.wav")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert not (tmp_path/"voices").exists()
    code, out, _ = run("audiomnist", "synth", "--to", "voices", "--speakers", 2, "--takes", 1, cwd=tmp_path)
    assert code == 0 and "20 recordings of 2 speakers" in out
