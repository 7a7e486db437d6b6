"The same extraction on a cluster of two workers, one of them killed while it works."
import os, signal, subprocess, sys, threading, time

import pytest

from audiomnist_nb.config import FeatureConfig, InputError, on_cluster
from audiomnist_nb.corpora import scan, synthesize
from audiomnist_nb.features import Dataset, extract

distributed = pytest.importorskip("distributed")


@pytest.fixture
def cluster(tmp_path):
    "Address of a scheduler with two workers, each a process of its own"
    file = tmp_path/"scheduler.json"
    run = lambda *args: subprocess.Popen([sys.executable, "-m", "distributed.cli." + args[0], *args[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    processes = [run("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))]
    processes += [run("dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(2)]
    try:
        with distributed.Client(scheduler_file=str(file), timeout="60s") as client:
            client.wait_for_workers(2, timeout=60)
            yield client
    finally:
        for process in processes: process.kill()


def test_a_killed_worker_changes_nothing(cluster, tmp_path):
    corpus, config = synthesize(tmp_path/"corpus", speakers=20, takes=4, seed=0), FeatureConfig(n_mfcc=20, padding=100)
    killed, workload = [], lambda dask_scheduler: {worker.pid: len(worker.processing) for worker in dask_scheduler.workers.values()}   # process -> tasks given

    def kill_one_at_work():
        while not killed:
            killed.extend([pid for pid, tasks in cluster.run_on_scheduler(workload).items() if tasks][:1])
            time.sleep(0.02)
        os.kill(killed[0], signal.SIGKILL)

    threading.Thread(target=kill_one_at_work, daemon=True).start()
    with on_cluster("dask", cluster.scheduler.address): dataset = extract(corpus, config)
    assert len(killed) == 1 and killed[0] not in cluster.run_on_scheduler(workload)
    assert dataset.digest == extract(corpus, config).digest


def test_workers_in_another_folder_find_the_recordings(cluster, run, tmp_path, monkeypatch):
    synthesize(tmp_path/"corpus", speakers=4, takes=2, seed=0)
    (tmp_path/"settings.yml").write_text("n_mfcc: 20\n")
    (tmp_path/"varied.yml").write_text("copies: 1\ngain: 1\n")
    dataset = ("audiomnist", "dataset", "--data-path", "corpus", "--config-path", "settings.yml", "--no-cache", "--backend", "dask", "--address", cluster.scheduler.address)
    for more in (("--name", "plain"), ("--name", "varied", "--augment", "varied.yml")):
        code, out, err = run(*dataset, *more, cwd=tmp_path)
        assert code == 0 and "80 recordings" in out, err
    monkeypatch.chdir(tmp_path)
    with on_cluster("dask", cluster.scheduler.address): assert len(extract(scan("corpus"), FeatureConfig(n_mfcc=20))) == 80
    assert set(Dataset.load(tmp_path/"data/processed/plain.npz").path) == {f"corpus/{r.path.name}" for r in scan(tmp_path/"corpus")}


def test_a_scheduler_that_is_lost_is_told(cluster, tmp_path):
    corpus = synthesize(tmp_path/"corpus", speakers=20, takes=4, seed=0)
    address, pid = cluster.scheduler.address, cluster.run_on_scheduler(os.getpid)
    def lose_it():
        while not cluster.run_on_scheduler(lambda dask_scheduler: sum(len(worker.processing) for worker in dask_scheduler.workers.values())): time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
    threading.Thread(target=lose_it, daemon=True).start()
    with pytest.raises(InputError, match="Dask's scheduler has no workers, or was lost"):
        with on_cluster("dask", address): extract(corpus, FeatureConfig(n_mfcc=20, padding=100))


def test_an_address_where_nothing_is():
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        with on_cluster("dask", "tcp://127.0.0.1:9"): pass


def test_ray_gives_the_same(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    corpus, config = synthesize(tmp_path/"corpus", speakers=4, takes=2, seed=0), FeatureConfig(n_mfcc=20, padding=100)
    with on_cluster("ray"): dataset = extract(corpus, config)
    assert dataset.digest == extract(corpus, config).digest
