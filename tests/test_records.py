"What README.md and the model card say was measured is what the records say."
import json, re, subprocess

import pandas as pd
import pytest

from audiomnist_nb.records import compare, mean_sd, over_seeds, read_records
from conftest import ROOT

README = (ROOT/"README.md").read_text(encoding="utf-8")
CONDITIONS = {"as recorded": ("as recorded", ""), "white noise at 20 dB": ("white", 20), "white noise at 10 dB": ("white", 10), "babble at 20 dB": ("babble", 20), "babble at 10 dB": ("babble", 10),
              "a room with a reverberation time of 0.4 s": ("reverberation", 0.4), "four semitones down": ("pitch", -4), "four semitones up": ("pitch", 4),
              "half the level": ("level", 0.5), "double the level": ("level", 2), "nothing above 3.4 kHz": ("band", 3400)}


pytestmark = pytest.mark.skipif(subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "reports"], cwd=ROOT, capture_output=True).returncode == 1, reason="experiments were run again since the last commit")


@pytest.fixture(scope="module")
def records(): return read_records(ROOT/"reports")


def rows_of(heading):
    "The cells of the rows of the tables under a heading"
    section = README.split(f"\n### {heading}")[1].split("\n### ")[0].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|") and not line.startswith("|---")]


@pytest.mark.parametrize("page", ["README.md", "audiomnist_nb/default_model/README.md"])
def test_every_mean_over_seeds_is_on_record(records, page):
    table = over_seeds(records)
    known = {mean_sd(*pair) for what in ("accuracy", "adapted") for pair in zip(table[what], table[f"{what}_sd"])}
    written = re.findall(r"0\.\d{4} ± 0\.\d{4}", (ROOT/page).read_text(encoding="utf-8"))
    assert written and not [figure for figure in written if figure not in known]


def test_the_ablation(records):
    rows = rows_of("What each ingredient gives")[2:]   # after the names of the columns and the baseline
    tables = [compare(records, baseline, "test") for baseline in ("ablation_all_v010", "new_all_v010", "paces_all_v010")]
    known = {name: {(mean_sd(r.accuracy, r.accuracy_sd), mean_sd(r.difference, r.difference_sd, 1, "+")) for table in tables for r in table[table.index == name].itertuples()} for name in tables[0].index}
    assert {path.stem for path in (ROOT/"config/experiments/ablation").glob("*.yml")} == {name.removeprefix("ablation_").removesuffix("_v010") for name in known if name.startswith("ablation_")}
    assert len(rows) == sum(name.startswith("ablation_") for name in known) - 1
    for label, *figures in rows: assert any(tuple(figures) in pairs for pairs in known.values()), label


def test_noise_rooms_and_so_on():
    networks = [ROOT/f"reports/default_model{seed}_v010" for seed in ("", "_seed43", "_seed44")]
    def of_three(data): return [json.loads((network/f"robustness_{data}/metrics.json").read_text())["rows"] for network in networks]
    left_out = pd.read_csv(ROOT/"reports/loso_v010/validate_loso/robustness.csv", keep_default_na=False).to_dict("records")
    def means(tables, condition, value):
        found = [row for table in tables for row in table if (row["condition"], str(row["value"])) == (condition, str(value))]
        assert len(found) == len(tables)
        return ", ".join(f"{sum(float(row[what]) for row in found)/len(found):.3f}" for what in ("accuracy", "adapted"))
    rows = [row for row in rows_of("On unseen speakers") if len(row) == 4][1:]
    assert [row[0] for row in rows] == list(CONDITIONS)
    for label, *figures in rows: assert figures == [means(tables, *CONDITIONS[label]) for tables in ([left_out], of_three("strangers"), of_three("beltran"))], label
