"The package and README.md are what the notebooks make of them, and the notebooks are clean."
import shutil

from conftest import ROOT


def test_generated_files_are_up_to_date(tmp_path, run):
    for name in ("nbs", "audiomnist_nb"): shutil.copytree(ROOT/name, tmp_path/name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("settings.ini", "pyproject.toml", "README.md"): shutil.copy(ROOT/name, tmp_path/name)
    committed = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for command in (["nbdev_export"], ["nbdev_clean"],
                    ["jupyter", "nbconvert", "--to", "markdown", "--output-dir", ".", "--output", "README", "nbs/index.ipynb"]):
        code, _, error = run(*command, cwd=tmp_path)
        assert code == 0, error
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert sorted(map(str, committed.keys() ^ made.keys())) == []
    assert [str(path) for path in made if made[path] != committed[path]] == [], "run `make export` and commit what it changes"
