"""Damaged files of every kind, read in processes of their own: each is read or refused.

`python -m tests.fuzzing --seconds 600` goes on for ten minutes; ``--kind h5ad --case 17`` repeats
one input. A case is a kind, a seed and a number, and damages the same bytes each time.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lazymu.errors import LazyMuError
from lazymu.settings import settings
from tests.conftest import REPOSITORY
from tests.fuzz_seeds import KINDS, copied, make_seeds
from tests.mutations import damaged, mutations_of

MEMORY_LIMIT = 1 << 30
ROOM = 2 << 30
"""Address space for a reader beyond what its process took when it began."""
START_SECONDS = 300.0
SECONDS = 30.0
"""A reader that takes longer hangs; inputs are some kilobytes."""
FINE = ("read", "refused")


@dataclass
class Tally:
    """What became of inputs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def n_inputs(self) -> int:
        return sum(self.outcomes.values())

    def add(self, kind: str, case: int, outcome: str, said: str, seconds: float) -> None:
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, seconds)
        if outcome not in FINE:
            self.failures.append(f"--kind {kind} --case {case}: {outcome}: {said}")

    def merge(self, other: Tally) -> None:
        self.outcomes += other.outcomes
        self.failures += other.failures
        self.slowest = max(self.slowest, other.slowest)

    def __str__(self) -> str:
        counts = {name: self.outcomes[name] for name in (*FINE, "error", "crash", "hang")}
        told = ", ".join(f"{name}: {n:,}" for name, n in counts.items())
        return f"inputs: {self.n_inputs:,}, {told}; slowest {self.slowest:.1f} s"


# --- one case -------------------------------------------------------------------------------------


def damage(path: Path, rng: np.random.Generator) -> None:
    """Damage a file, or some of the files of a folder."""
    if not path.is_dir():
        data = path.read_bytes()
        path.write_bytes(damaged(rng, data, mutations_of(path.name, data)))
        return
    files = sorted(file for file in path.rglob("*") if file.is_file())
    for at in rng.integers(len(files), size=rng.choice([1, 1, 2, 4])):
        file = files[at]
        if not file.exists():
            continue
        choice = rng.random()
        if choice < 0.05:
            file.unlink()
        elif choice < 0.1:
            file.write_bytes(files[rng.integers(len(files))].read_bytes() if file.exists() else b"")
        else:
            data = file.read_bytes()
            file.write_bytes(damaged(rng, data, mutations_of(file.name, data)))


def run_case(kind: str, case: int, seed: int, folder: Path) -> tuple[str, str]:
    """Return what became of an input, and what was said."""
    rng = np.random.default_rng([seed, case, zlib.crc32(kind.encode())])
    found = KINDS[kind]
    target = folder / "damaged" / found.file
    target.parent.mkdir(exist_ok=True)
    copied(folder / found.file, target)
    try:
        damage(target, rng)
    except FileNotFoundError:
        return "refused", "a folder without files"
    try:
        found.read(target)
    except LazyMuError as error:
        return "refused", str(error)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)
        own = next((f for f in reversed(where) if "/lazymu/" in f.filename), where[-1])
        place = f"{Path(own.filename).name}:{own.lineno} {where[-1].name}"
        return "error", f"{type(error).__name__} at {place}: {str(error)[:200]}"
    return "read", ""


# --- worker: reads inputs until it is told to stop ------------------------------------------------


def work(kinds: list[str], first: int, stop: int, seed: int, seconds: float) -> None:
    """Read inputs ``first`` to ``stop`` of some kinds in turn, telling of each before and after."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    settings.memory_limit, settings.n_threads = MEMORY_LIMIT, 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_seeds(folder, kinds)
        for kind in kinds:
            KINDS[kind].read(folder / KINDS[kind].file)  # imports and kernels
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + ROOM,) * 2)
        until = time.monotonic() + seconds
        for number in range(first, stop):
            if time.monotonic() > until:
                break
            case, at = divmod(number, len(kinds))
            tell({"begin": number})
            faulthandler.dump_traceback_later(SECONDS - 5)
            began = time.monotonic()
            outcome, said = run_case(kinds[at], case, seed, folder)
            tell({"end": number, "outcome": outcome, "said": said, "s": time.monotonic() - began})
            faulthandler.cancel_dump_traceback_later()
    tell({"done": True})


def tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


# --- parent: starts workers, and finds those that crash or hang -----------------------------------


def fuzz(
    kinds: list[str], *, seconds: float, first: int = 0, stop: int = 1 << 40, seed: int = 0
) -> dict[str, Tally]:
    """Read damaged inputs of some kinds in turn; a worker that is lost is started again.

    Parameters
    ----------
    kinds
        Keys of `KINDS`.
    seconds
        How long at most, the starts of workers apart.
    first, stop
        Cases of each kind.
    seed
        Of the damage.
    """
    tallies = {kind: Tally() for kind in kinds}
    number, end, until = first * len(kinds), stop * len(kinds), time.monotonic() + seconds
    while number < end and (left := until - time.monotonic()) > 0:
        for message in messages_of(kinds, number, end, seed, left):
            if "done" in message:
                return tallies
            lost = "lost" in message
            if "end" not in message and not lost:
                continue
            if lost and message["end"] is None:
                raise RuntimeError(f"no worker for {kinds}: {message['said']}")
            case, at = divmod(message["end"], len(kinds))
            tallies[kinds[at]].add(
                kinds[at], case, message["outcome"], message["said"], message["s"]
            )
            number = message["end"] + 1
    return tallies


def messages_of(
    kinds: list[str], first: int, stop: int, seed: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield what a worker tells; last, what was lost with it."""
    numbers = [",".join(kinds), str(first), str(stop), str(seed), str(seconds)]
    command = [sys.executable, "-m", "tests.fuzzing", "--worker", *numbers]
    with tempfile.TemporaryFile("w+") as errors:
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=errors, text=True, cwd=REPOSITORY)
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        reader = threading.Thread(target=forward, args=(process.stdout, lines), daemon=True)
        reader.start()
        number, outcome, done = None, "crash", False
        try:
            while not done:
                try:
                    line = lines.get(timeout=SECONDS if number is not None else START_SECONDS)
                except queue.Empty:
                    outcome = "hang"
                    break
                if not line:
                    break
                if line.startswith("{"):
                    message = json.loads(line)
                    number = message.get("begin")
                    done = "done" in message
                    yield message
        finally:
            process.kill()
            status = process.wait()
            reader.join()
            process.stdout.close()
        if not done:
            errors.seek(0)
            said = " | ".join(told_of(errors.read().strip().splitlines()))
            said = f"status {status}: {said}"
            yield {"lost": True, "end": number, "outcome": outcome, "said": said, "s": SECONDS}


def told_of(lines: list[str]) -> list[str]:
    """Return what killed a worker, and where its main thread was, the last of a dump."""
    last = max((n for n, line in enumerate(lines) if "hread 0x" in line), default=0)
    return [*lines[:1], *(line.strip() for line in lines[last + 1 : last + 12])]


def forward(file: Any, lines: queue.Queue[str]) -> None:
    for line in file:
        lines.put(line)
    lines.put("")


def main() -> None:
    """Read the command line and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="in all (default 600)")
    parser.add_argument("--kind", choices=KINDS, help="only this kind of file")
    parser.add_argument("--case", type=int, help="only this input, with what was said")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kinds, *numbers = options.worker
        work(kinds.split(","), *map(int, numbers[:3]), float(numbers[3]))
        return
    kinds = [options.kind] if options.kind else list(KINDS)
    one = {} if options.case is None else {"first": options.case, "stop": options.case + 1}
    total = Tally()
    for kind, tally in fuzz(kinds, seconds=options.seconds, seed=options.seed, **one).items():
        print(f"{kind:16} {tally}", *tally.failures, sep="\n  ")
        total.merge(tally)
    print(f"{'all':16} {total}")
    sys.exit(bool(total.failures))


if __name__ == "__main__":
    main()
