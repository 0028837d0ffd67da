"""Train on a machine with a GPU that is lent for minutes, without network and Snakemake, in calls of limited length.

Here, then there in a copy of this checkout with build/gpu-kit, then here again:

    make gpu-kit MIRROR=DIR
    python3 workflow/gpu_kit/kit.py train -b mnist --seconds 540 --at-once 8 --out OUT
    python3 workflow/gpu_kit/kit.py bring OUT

The machine needs Python, torch, numpy, PyYAML, safetensors and typer; what else training imports is carried as
wheels. A call stops its runs in time, and the next one goes on from their saved states. ``kit.py do -- COMMAND`` runs
any other command with the wheels. This program itself needs nothing but Python.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "build/gpu-kit"
WHEELS = ("pydantic",)
"""What training imports and a machine with torch usually lacks; carried with what it needs in turn."""
SITE = Path(tempfile.gettempdir()) / "counterpoise-gpu-kit"
STOP_BEFORE_S = 25
"""Before the end of a call, runs are told to stop: they save their states, and the files are packed."""
PART_BYTES = 15 * 2**20
"""Lent machines return files of limited size: results are packed into parts of this size."""


def pack(python: str, raw: list[str], mirror: Path) -> None:
    """Fill the kit with wheels for the other machine's Python and with the mirror's folders ``raw``."""
    absent = [name for name in raw if not (mirror / name).is_dir()]
    if absent:
        raise SystemExit(
            f"{mirror}: has no folder {', '.join(absent)}; name one that holds raw data, a folder per dataset"
        )
    shutil.rmtree(KIT / "wheels", ignore_errors=True)
    platforms = [f"--platform={tag}_x86_64" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
    where = ["--only-binary=:all:", f"--python-version={python}", *platforms, "-d", str(KIT / "wheels")]
    pip = [sys.executable, "-m", "pip", "download", "-q", "-c", str(ROOT / "constraints.txt"), *where, *WHEELS]
    subprocess.run(pip, check=True)
    for name in raw:
        shutil.copytree(mirror / name, KIT / "mirror" / name, dirs_exist_ok=True)
    size = sum(path.stat().st_size for path in KIT.rglob("*") if path.is_file())
    print(f"{KIT.relative_to(ROOT)}: {size / 2**20:.1f} MiB to carry, next to the checkout's own files")


def environment() -> dict[str, str]:
    """Install the kit's wheels beside the machine's packages; return the environment in which this checkout runs."""
    if not SITE.is_dir():
        wheels = sorted(str(path) for path in (KIT / "wheels").glob("*.whl"))
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(SITE), *wheels]
        if subprocess.run(pip, check=False).returncode:
            shutil.rmtree(SITE, ignore_errors=True)  # half of it would pass for all of it in the next call
            here = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise SystemExit(
                f"the kit's wheels do not install here; pack it with --python {here}, this machine's version"
            )
    return os.environ | {"PYTHONPATH": f"{SITE}:{ROOT / 'src'}:{ROOT / 'tests/support'}", "OMP_NUM_THREADS": "1"}


def train(benchmark: str, settings: list[str], seconds: float, at_once: int, device: str, out: Path) -> int:
    """Train what a benchmark lacks for ``seconds``, ``at_once`` runs at a time; pack the outcome into ``out``."""
    began = time.monotonic()
    env = environment()
    chosen = ["-b", benchmark, *(f"--set={each}" for each in (f"mirror={KIT / 'mirror'}", *settings))]
    program = [sys.executable, "-m", "counterpoise"]
    for part in sorted((KIT / "so-far").glob("*.tar")):
        with tarfile.open(part) as archive:
            archive.extractall(ROOT, filter="data")
    asked = subprocess.run([*program, "status", *chosen, "--json"], env=env, stdout=subprocess.PIPE, check=False)
    if asked.returncode:
        return asked.returncode  # the command has said what is wrong
    unfinished = json.loads(asked.stdout)["unfinished"]
    for data in sorted({run["cell"].split("/")[0] for run in unfinished}):
        for step in ("fetch", "prepare"):
            done = subprocess.run([*program, step, data, *chosen], env=env, check=False)
            if done.returncode:
                return done.returncode
    # What has a saved state first; then all methods of a seed before the next seed, so that they can be compared.
    waiting = deque(sorted(unfinished, key=lambda run: (run["state"] == "missing", run["seed"])))
    running: dict[subprocess.Popen[bytes], str] = {}
    ended: list[tuple[str, int]] = []
    samples: list[list[str]] = []
    logs = ROOT / "logs/gpu-kit"
    logs.mkdir(parents=True, exist_ok=True)
    while (waiting or running) and time.monotonic() - began < seconds - STOP_BEFORE_S:
        while waiting and len(running) < at_once:
            run = waiting.popleft()
            name = f"{run['cell']} seed {run['seed']}"
            command = [*program, "train", run["cell"], "--seed", str(run["seed"]), "--device", device, *chosen]
            command.append(f"--set=job.runs_per_gpu={at_once}")
            with (logs / f"{name.replace('/', '-').replace(' ', '-')}.log").open("ab") as log:
                running[subprocess.Popen(command, env=env, stdout=log, stderr=log)] = name
        time.sleep(1)
        samples.extend(_device_samples(time.monotonic() - began))
        for process in [each for each in running if each.poll() is not None]:
            ended.append((running.pop(process), process.returncode))
            print(f"{time.monotonic() - began:5.0f} s  exit code {ended[-1][1]}  {ended[-1][0]}", flush=True)
    for process in running:
        process.send_signal(signal.SIGTERM)
    ended += [(name, process.wait()) for process, name in running.items()]
    out.mkdir(parents=True, exist_ok=True)
    with (out / "device.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["seconds", "gpu_percent", "memory_mib"], *samples])
    parts = _pack_parts(out)
    pace = _samples_per_second([name for name, code in ended if code == 0])
    codes = [code for _, code in ended]
    # 75: it saved its state; the other: it was told to stop before it had begun.
    stopped = (75, -signal.SIGTERM)
    failed = sorted(name for name, code in ended if code not in (0, *stopped))
    interrupted = sum(code in stopped for code in codes)
    print(f"{codes.count(0)} finished, {interrupted} interrupted, {len(failed)} failed, {len(waiting)} waiting")
    if samples:
        busy, memory = ([float(sample[i]) for sample in samples] for i in (1, 2))
        print(f"device busy {sum(busy) / len(busy):.0f} %, peak memory {max(memory):.0f} MiB")
    if pace:
        print(f"{statistics.median(pace):,.0f} samples/s in training, median of {len(pace)} runs, {at_once} at once")
    print(f"{parts} parts in {out}; 'kit.py bring' takes them")
    for name in failed:
        print(f"failed: {name}, see {logs.relative_to(ROOT)}", file=sys.stderr)
    return 1 if failed else 0


def bring(folder: Path) -> None:
    """Unpack what a call left: finished runs and saved states; the states also go into the kit for the next call."""
    parts = sorted(folder.glob("part-*.tar"))
    if not parts:
        raise SystemExit(f"{folder}: holds no part-*.tar; name the folder that 'kit.py train --out' wrote")
    shutil.rmtree(KIT / "so-far", ignore_errors=True)
    (KIT / "so-far").mkdir(parents=True)
    for part in parts:
        with tarfile.open(part) as archive:
            archive.extractall(ROOT, filter="data")
        shutil.copy(part, KIT / "so-far")
    print(f"{len(parts)} parts unpacked; 'counterpoise status' says what is there")


def _samples_per_second(runs: list[str]) -> list[float]:
    """Return how many samples a second each finished run trained on, by its record: evaluation is part of its time."""
    found = []
    for name in runs:
        record = json.loads((ROOT / "results/runs" / name.replace(" seed ", "/seed-") / "record.json").read_text())
        samples = record["steps_run"] * record["identity"]["config"]["protocol"]["batch_size"]
        found.append(samples / record["seconds"])
    return found


def _device_samples(at: float) -> Iterator[list[str]]:
    """Yield what the driver says of the first device now, nothing where there is none."""
    if shutil.which("nvidia-smi") is None:
        return
    asked = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    for line in subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()[:1]:
        yield [f"{at:.0f}", *(value.strip() for value in line.split(","))]


def _pack_parts(out: Path) -> int:
    """Write finished runs, and what each other goes on from, into tars of limited size; return how many."""
    # With what their data was: it may be prepared there alone.
    homes = (ROOT / "results/data", ROOT / "results/runs")
    finished = [path for home in homes for path in sorted(home.rglob("*")) if path.is_file()]
    states: list[Path] = []
    for folder in sorted((ROOT / "work").rglob("states")):
        # A state is two files, the .json written last; who trained it so far is noted beside the states.
        newest = max(folder.glob("state-*.json"), default=None)
        if newest is not None:
            states += [newest.with_suffix(".safetensors"), newest, *folder.parent.glob("attempts.json")]
    parts: list[list[Path]] = [[]]
    room = PART_BYTES
    for path in [*finished, *states]:
        if path.stat().st_size > room and parts[-1]:
            parts.append([])
            room = PART_BYTES
        parts[-1].append(path)
        room -= path.stat().st_size + 1024  # the header, and the last block filled up
    for number, files in enumerate(parts):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path in files:
                archive.add(path, arcname=str(path.relative_to(ROOT)))
        (out / f"part-{number}.tar").write_bytes(buffer.getvalue())
    return len(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="fill build/gpu-kit")
    packing.add_argument("--mirror", type=Path, required=True, help="folder of raw data, one subfolder per dataset")
    packing.add_argument("--raw", action="append", help="subfolder to carry (default: mnist); repeatable")
    packing.add_argument("--python", default="3.12", help="the other machine's Python (default: %(default)s)")
    training = commands.add_parser("train", help="train what is missing of a benchmark")
    training.add_argument("-b", "--benchmark", default="mnist")
    training.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="KEY=VALUE", help="as of 'counterpoise'"
    )
    training.add_argument(
        "--seconds", type=float, default=540, help="how long the call may take (default: %(default)s)"
    )
    training.add_argument("--at-once", type=int, default=8, help="runs that share the device (default: %(default)s)")
    training.add_argument("--device", default="cuda", help="as of 'counterpoise train' (default: %(default)s)")
    training.add_argument("--out", type=Path, required=True, help="folder for what came of it")
    bringing = commands.add_parser("bring", help="take what a call left")
    bringing.add_argument("folder", type=Path)
    doing = commands.add_parser("do", help="run a command with the kit's wheels")
    doing.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if asked.command == "pack":
        pack(asked.python, asked.raw or ["mnist"], asked.mirror)
    elif asked.command == "bring":
        bring(asked.folder)
    elif asked.command == "do":
        return subprocess.run(
            [a for a in asked.arguments if a != "--"], env=environment(), cwd=ROOT, check=False
        ).returncode
    else:
        return train(asked.benchmark, asked.settings, asked.seconds, asked.at_once, asked.device, asked.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
