"The package and README.md are what the notebooks make of them, and the notebooks are clean."
import shutil, subprocess, sys, zipfile

import pytest
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


def test_a_source_archive_makes_a_whole_package(tmp_path):
    pytest.importorskip("setuptools")
    here = tmp_path/"project"
    here.mkdir()
    for name in ("setup.py", "settings.ini", "MANIFEST.in", "README.md", "LICENSE"): shutil.copy(ROOT/name, here)
    for name in ("audiomnist_nb", "config"): shutil.copytree(ROOT/name, here/name)
    def setup(*args, folder): subprocess.run([sys.executable, "setup.py", "-q", *args, "-d", str(tmp_path/"dist")], cwd=folder, check=True, capture_output=True)
    setup("sdist", folder=here)
    shutil.unpack_archive(next((tmp_path/"dist").glob("*.tar.gz")), tmp_path/"source")
    setup("bdist_wheel", folder=next((tmp_path/"source").iterdir()))
    names = zipfile.ZipFile(next((tmp_path/"dist").glob("*.whl"))).namelist()
    for name in ("cli.py", "default_model/weights.safetensors", "web/page.js", "recipes/data/data_20f_notagg.yml", "recipes/experiments/default_model.yml"):
        assert f"audiomnist_nb/{name}" in names
