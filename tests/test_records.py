"What README.md and the model card say of accuracies is what the committed records say."
import json, re, subprocess

import numpy as np
import pandas as pd
import pytest

from audiomnist_nb.records import compare, mean_sd, over_seeds, read_records
from conftest import ROOT

PACKAGED = [f"default_model{seed}_v010" for seed in ("", "_seed43", "_seed44")]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    "The records as they are committed, or staged to be: without whatever else was run here, or run again"
    if not (ROOT/".git").exists(): return ROOT/"reports"
    folder = tmp_path_factory.mktemp("project")
    names = subprocess.run(["git", "ls-files", "reports"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["git", "checkout-index", f"--prefix={folder}/", "--stdin"], cwd=ROOT, input=names, check=True)
    return folder/"reports"


@pytest.fixture(scope="module")
def records(reports): return read_records(reports)


def rows_of(heading):
    "The cells of the rows of the tables under a heading"
    section = (ROOT/"README.md").read_text(encoding="utf-8").split(f"\n### {heading}")[1].split("\n### ")[0].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|") and not line.startswith("|---")]


@pytest.mark.parametrize("page", ["README.md", "audiomnist_nb/default_model/README.md"])
def test_every_mean_over_seeds_is_on_record(records, page):
    table = over_seeds(records)
    known = {mean_sd(*pair) for what in ("accuracy", "adapted") for pair in zip(table[what], table[f"{what}_sd"])}
    written = re.findall(r"0\.\d{4} ± 0\.\d{4}", (ROOT/page).read_text(encoding="utf-8"))
    assert written and not [figure for figure in written if figure not in known]


def test_unseen_speakers(records, reports):
    def of_three(data, what):
        values = records[(records.name == PACKAGED[0]) & (records.result == f"robustness_{data}")]
        return f"**{mean_sd(values[what].mean(), values[what].std())}** ({', '.join(str(round(n)) for n in values[what]*values.recordings)})"
    loso = json.loads((reports/"loso_v010/validate_loso/metrics.json").read_text())
    def worst(result, what):
        "Of networks that learned from synthetic voices alone"
        speakers = [json.loads((reports/f"synthetic_only{seed}_v010/{result}/metrics.json").read_text())["speakers"] for seed in ("", "_seed43", "_seed44")]
        means = {name: np.mean([told[name]["right"]/told[name]["recordings"] for told in speakers]) for name in speakers[0]}
        table = over_seeds(records).loc["synthetic_only_v010", result]
        return f"**{mean_sd(table.accuracy, table.accuracy_sd)}**, worst {min(means, key=means.get)} {min(means.values()):.4f}"
    expected = [[of_three(data, what) for what in ("accuracy", "adapted")] for data in ("beltran", "strangers")]
    expected += [[f"**{mean_sd(loso[a], loso[b])}**, worst {loso[c]} {loso[d]:.4f}" for a, b, c, d in (("accuracy", "sd_over_seeds", "worst_speaker", "worst_accuracy"), ("adapted", "adapted_sd_over_seeds", "adapted_worst_speaker", "adapted_worst_accuracy"))]]
    expected += [[worst("test", "accuracy"), worst("infer_fsdd_adapted", "accuracy")]]
    assert [row[2:4] for row in rows_of("On unseen speakers") if len(row) == 5][1:] == expected


def test_noise_rooms_and_so_on(reports):
    conditions = {"as recorded": ("as recorded", ""), "white noise at 20 dB": ("white", 20), "white noise at 10 dB": ("white", 10), "babble at 20 dB": ("babble", 20), "babble at 10 dB": ("babble", 10),
                  "a room with a reverberation time of 0.4 s": ("reverberation", 0.4), "four semitones down": ("pitch", -4), "four semitones up": ("pitch", 4),
                  "half the level": ("level", 0.5), "double the level": ("level", 2), "nothing above 3.4 kHz": ("band", 3400)}
    left_out = pd.read_csv(reports/"loso_v010/validate_loso/robustness.csv", keep_default_na=False).to_dict("records")
    strangers, beltran = ([json.loads((reports/f"{name}/robustness_{data}/metrics.json").read_text())["rows"] for name in PACKAGED] for data in ("strangers", "beltran"))
    def means(tables, condition, value):
        found = [row for table in tables for row in table if (row["condition"], str(row["value"])) == (condition, str(value))]
        assert len(found) == len(tables)
        return ", ".join(f"{np.mean([float(row[what]) for row in found]):.3f}" for what in ("accuracy", "adapted"))
    rows = [row for row in rows_of("On unseen speakers") if len(row) == 4][1:]
    assert {label: figures for label, *figures in rows} == {label: [means(tables, *which) for tables in ([left_out], strangers, beltran)] for label, which in conditions.items()}


def test_the_ablation(records):
    names = {"**baseline**": "all", "plus MBROLA's accents": "with_accents", "the baseline's networks, with four more views": "with_views", "the baseline's networks, with views farther apart": "with_paces",
             "plus 2,000 sounds": "with_outliers", "without babble": "without_babble", "without frequency warp": "without_frequency_warp", "augmented on the log-mels only": "without_waveform_copies",
             "without noise on": "without_noise", "40 bands": "telephone_band", "without equaliser": "without_equaliser", "without a noise gate": "without_gate", "without SpecAugment": "without_masks",
             "without time warp": "without_time_warp", "without telephone band": "without_band", "neural voices only": "neural_only", "a recurrent layer": "crnn", "without mixup": "without_mixup",
             "without crop": "without_crop", "augmented on the waveform only": "without_log_mel_augmentation", "BC-ResNet-3": "bcresnet", "the plain CNN": "plain_cnn", "espeak-ng's voices only": "espeak_only",
             "CMVN per clip": "cmvn_clip", "CMVN with the training data's": "cmvn_train", "without normalisation": "cmvn_none", "without any augmentation": "without_any_augmentation", "20 MFCCs": "mfcc",
             "the reference's CNN": "reference_cnn", "the reference's FCNN": "reference_fcnn"}
    assert {*names.values()} == {path.stem for path in (ROOT/"config/experiments/ablation").glob("*.yml")}
    rows = rows_of("What each ingredient gives")[1:]
    assert len(rows) == len(names)
    baselines = dict(with_paces="paces_all_v010", crnn="new_all_v010")   # those of the same clips
    tables = {baseline: compare(records, baseline, "test") for baseline in ("ablation_all_v010", *baselines.values())}
    for (start, name), (label, accuracy, difference) in zip(names.items(), rows):
        against = tables[baselines.get(name, "ablation_all_v010")]
        told = against.loc[f"ablation_{name}_v010"]
        assert label.startswith(start) and accuracy == mean_sd(told.accuracy, told.accuracy_sd)
        assert difference == ("" if name == "all" else mean_sd(told.difference, told.difference_sd, 1, "+"))
        if name in baselines: assert f"where the baseline has {mean_sd(*against.loc[baselines[name], ['accuracy', 'accuracy_sd']])}" in label


def test_the_reference(records):
    names = ["reference_fcnn", "reference_fcnn_by_speaker", "reference_cnn_fsdd", "reference_cnn_fsdd_by_speaker"]
    table = over_seeds(records)
    expected = [[mean_sd(*table.loc[(f"{name}_v010", result), ["accuracy", "accuracy_sd"]]) for result in ("validation", "test")] for name in names]
    assert [[row[3].strip("*"), row[5]] for row in rows_of("The reference")[1:]] == expected
