"What the tests share: running commands in a folder of their own, and the real recordings where there are any."
import os, subprocess, sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real():
    "The folder of real recordings that AUDIOMNIST_REAL names"
    if "AUDIOMNIST_REAL" not in os.environ: pytest.skip("AUDIOMNIST_REAL is not set: no real recordings to test on")
    return Path(os.environ["AUDIOMNIST_REAL"]).resolve()


@pytest.fixture(scope="session")
def run():
    "Run a command in a folder: exit code, standard output, standard error"
    def run(*args, cwd, **options):
        program = Path(sys.executable).with_name(str(args[0]))
        done = subprocess.run([str(program), *map(str, args[1:])], cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
        return done.returncode, done.stdout, done.stderr
    return run
