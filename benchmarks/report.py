"""`python benchmarks/report.py results.json`: the table and the figure of a run of pytest-benchmark, as ratios within each group."""
import json, sys, textwrap
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

matplotlib.use("Agg")


def label(row: dict) -> str:
    "What was measured, without who did it"
    return ", ".join(str(value) for key, value in row["params"].items() if key != "who")


def sides(rows: list[dict]) -> list[tuple[str, float, float, dict]]:
    "Label, seconds, how many times as long as this package takes for the same, what else was noted"
    own = {label(row): row["stats"]["median"] for row in rows if row["params"].get("who", "audiomnist_nb") == "audiomnist_nb"}
    first = next(iter(own.values()))
    name = lambda row: ": ".join(part for part in (label(row), row["params"].get("who")) if part)
    return [(name(row), row["stats"]["median"], row["stats"]["median"]/(own.get(label(row), first) if "who" in row["params"] else first), row["extra_info"]) for row in rows]


def main(path: Path):
    run, groups = json.loads(path.read_text(encoding="utf-8")), {}
    for row in run["benchmarks"]: groups.setdefault(row["group"], []).append(row)
    lines = [f"Measured side by side in one run on {run['machine_info']['cpu'].get('count', '?')} cores, {run['datetime'][:10]}: medians, and ratios to this package's time for the same task, or to the first row.", ""]
    for group, rows in groups.items():
        lines += [f"| {group} | time | ratio | |", "|---|---|---|---|"]
        lines += [f"| {name} | {f'{seconds:.2f} s' if seconds > 0.5 else f'{1000*seconds:.2f} ms'} | {ratio:.2f} | {', '.join(f'{key} {value}' for key, value in more.items())} |" for name, seconds, ratio, more in sides(rows)]
        lines.append("")
    path.with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")
    figure, axes = plt.subplots(len(groups), 1, figsize=(8, 0.5*sum(len(rows) + 1.6 for rows in groups.values())), layout="constrained", height_ratios=[len(rows) + 1 for rows in groups.values()])
    for axis, (group, rows) in zip(axes, groups.items()):
        names, _, ratios, _ = zip(*sides(rows))
        bars = axis.barh(names, ratios, color=["lightsteelblue" if "audiomnist_nb" in name or "who" not in rows[0]["params"] else "lightgrey" for name in names])
        axis.bar_label(bars, fmt="%.1f", padding=3)
        axis.invert_yaxis()
        axis.set(title=textwrap.fill(group, 55), xlim=(0, 1.15*max(ratios)))
        axis.title.set_fontsize(10)
    figure.savefig(path.with_suffix(".png"), dpi=80)


if __name__ == "__main__": main(Path(sys.argv[1]))
