"The same extraction on a cluster of two workers, one of them killed while it works; clusters that are not there, or lose all they have."
import http.server, os, signal, socket, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

import pytest
from joblib import Parallel, delayed

from audiomnist_nb import config as settings
from audiomnist_nb.config import FeatureConfig, InputError, on_cluster
from audiomnist_nb.corpora import scan, synthesize
from audiomnist_nb.features import Dataset, extract

distributed = pytest.importorskip("distributed")


def start(*args):
    "A part of Dask as a process of its own"
    return subprocess.Popen([sys.executable, "-m", "distributed.cli." + args[0], *args[1:]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


WORKER = ("dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard")


@pytest.fixture
def cluster(request, tmp_path):
    "Client of a scheduler with two workers, or as many as the test says, each a process of its own"
    file, workers = tmp_path/"scheduler.json", getattr(request, "param", 2)
    processes = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))]
    processes += [start(*WORKER, "--scheduler-file", str(file)) for _ in range(workers)]
    try:
        with distributed.Client(scheduler_file=str(file), timeout="60s") as client:
            client.wait_for_workers(workers, timeout=60)
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


@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_a_single_worker_does_the_work_and_is_missed(cluster, monkeypatch, caplog):
    monkeypatch.setattr(settings, "_PATIENCE", 1)
    scheduler, told = cluster.scheduler.address, lambda message: " ".join(record.message for record in caplog.records).count(message)
    def until_told(message):
        ends = time.time() + 60
        while not told(message):
            assert time.time() < ends, message
            time.sleep(0.05)
    with on_cluster("dask", scheduler), ThreadPoolExecutor(1) as pool:
        (worker,) = set(Parallel(-1)(delayed(os.getpid)() for _ in range(8)))
        assert worker == int(next(iter(cluster.run(os.getpid).values()))) != os.getpid()
        time.sleep(1.5)
        assert not told("no worker")
        os.kill(worker, signal.SIGKILL)
        waiting = pool.submit(cluster.submit(abs, -1).result)
        until_told("Dask's scheduler has had no worker for 1 s; the work waits for one: start it, or interrupt")
        time.sleep(1.5)
        assert told("no worker") == 1 and not waiting.done()
        another = start(*WORKER, scheduler)
        try:
            assert waiting.result(60) == 1
            until_told("Dask's scheduler has a worker again")
        finally: another.kill()


def test_a_port_of_something_else(cluster, monkeypatch):
    monkeypatch.setattr(settings, "_PATIENCE", 1)
    def refused(address, why):
        with pytest.raises(InputError, match=f"no Dask scheduler answers at {address} .*{why}"):
            with on_cluster("dask", address): pass
    refused(next(iter(cluster.scheduler_info()["workers"])), "a worker does")
    with socket.create_server(("127.0.0.1", 0)) as silent: refused(f"tcp://127.0.0.1:{silent.getsockname()[1]}", "nothing for 1 s; is it another service's port")
    with socket.create_server(("127.0.0.1", 0)) as greeting:
        threading.Thread(target=lambda: greeting.accept()[0].sendall(b"SSH-2.0-OpenSSH_9.6\r\n"), daemon=True).start()
        refused(f"tcp://127.0.0.1:{greeting.getsockname()[1]}", "another service does")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        refused(f"tcp://127.0.0.1:{pages.server_port}", "is it another service's port")
        pages.shutdown()


def test_an_address_where_nothing_is():
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        with on_cluster("dask", "tcp://127.0.0.1:9"): pass


def test_ray_gives_the_same(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    corpus, config = synthesize(tmp_path/"corpus", speakers=4, takes=2, seed=0), FeatureConfig(n_mfcc=20, padding=100)
    with on_cluster("ray"): dataset = extract(corpus, config)
    assert dataset.digest == extract(corpus, config).digest
