# SPDX-License-Identifier: GPL-2.0-only
"""Where everything lives: the repository, the cache and one directory for each run.

Everything fetched or built by the lab is under ${XDG_CACHE_HOME:-~/.cache}/apicvisor and may be
deleted at any time.  A directory of the cache appears by rename when it is complete, under a
lock, so that runs may be concurrent and an interrupted set-up leaves nothing half made.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import tempfile
import time

from labkit.say import progress

LAB = pathlib.Path(__file__).resolve().parent.parent
REPO = LAB.parent.parent

PATIENCE = 2            # seconds to wait for a lock in silence
KEPT_RUNS = 40          # directories of finished runs that are kept, newest first


def cache(*parts):
    """A path in the cache; the directory above it exists on return."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = pathlib.Path(base, "apicvisor", *parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def lock(name):
    """Hold the set-up lock of that name; waits for another run that holds it, and says so."""
    with open(cache("locks", name), "w", encoding="ascii") as file:
        for _ in range(PATIENCE * 10):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.1)
        else:
            progress(f"waiting for another run that is busy with {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def build_dir(final):
    """A scratch directory beside `final` that becomes `final` when the block ends well."""
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=final.name + ".new-", dir=final.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        scratch.rename(final)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def digest(*parts):
    """A short name for a build made from these inputs (text, bytes or files)."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, pathlib.Path):
            part = part.read_bytes()
        elif isinstance(part, str):
            part = part.encode()
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:16]


def new_run_dir():
    """A fresh directory for one run.  Old ones are pruned; a running one is never touched."""
    runs = cache("runs")
    runs.mkdir(exist_ok=True)
    with lock("runs"):
        _prune(runs)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        return pathlib.Path(tempfile.mkdtemp(prefix=stamp + "-", dir=runs))


def run_is_over(run):
    """Called at the end of a run: the big images go, the logs stay."""
    for name in ("kernel.img", "initramfs.img"):
        (run / name).unlink(missing_ok=True)
    (run / "done").touch()


def _prune(runs):
    finished = sorted((d for d in runs.iterdir() if (d / "done").exists()), reverse=True)
    for old in finished[KEPT_RUNS:]:
        shutil.rmtree(old, ignore_errors=True)
    # a run that was killed never says so: after two days it is over
    for run in runs.iterdir():
        if not (run / "done").exists() and time.time() - run.stat().st_mtime > 2 * 86400:
            shutil.rmtree(run, ignore_errors=True)
