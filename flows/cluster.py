"""Dask clusters: what a cluster file says, and the task runner made from it.

A cluster file is YAML; `larun.config.CLUSTER_FOLDER` holds those that come with larun. Dask and Prefect are
imported where they are used: the command line checks a cluster file before anything starts.
"""

from __future__ import annotations

import importlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from larun.config import CLUSTER_FOLDER
from larun.errors import ConfigurationError, RunFailed

if TYPE_CHECKING:
    import dask
    from prefect_dask import DaskTaskRunner

log = logging.getLogger(__name__)

DEATHS_BEFORE_SPLIT = 2
"""Workers that may die under one group of shards before it is split."""

WORKER_MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""How glibc keeps memory in a worker, as environment variables.

Each target takes and frees some megabytes. Dask's own trim threshold of 64 KiB gives them back to the kernel every
time, and their pages are faulted in anew for the next: that doubles the CPU time of the encoding. With these, freed
memory up to 256 MiB stays, and what is larger than 32 MiB is mapped by itself and goes back at once. All threads share
one arena, so that the next target takes what the last one freed, of which some is still in the cache, whichever thread
fetches it; and the kernel is asked for large pages, where it gives any.
"""

_PREFLIGHT = ("tasks.ingest", "tasks.sweep")
"""Modules that every worker must be able to import."""


class LocalClusterFile(BaseModel):
    """Processes on this machine, started for one run and stopped at its end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["local"]
    workers: int | None = Field(None, ge=1, description="processes; by default one per core")
    threads_per_worker: int = Field(1, ge=1, description="1 for download and parse work")
    memory_limit: str = Field("auto", description="of one worker, as Dask understands it, e.g. 4GiB")
    environment: dict[str, str] = Field(default_factory=dict, description="variables of the workers")

    def runner(self) -> DaskTaskRunner:
        """Task runner with a temporary cluster."""
        from prefect_dask import DaskTaskRunner

        pointed = {name: os.environ[name] for name in ("PREFECT_API_URL", "PREFECT_HOME") if name in os.environ}
        return DaskTaskRunner(
            cluster_class="distributed.LocalCluster",
            cluster_kwargs={
                "n_workers": self.workers or _cores(),
                "threads_per_worker": self.threads_per_worker,
                "processes": True,
                "memory_limit": self.memory_limit,
                "dashboard_address": "127.0.0.1:0",
                "host": "127.0.0.1",
                "silence_logs": logging.CRITICAL,
                "env": self.environment | pointed,
            },
        )

    def preflight(self) -> int:
        """Number of workers; nothing to check, they are this very environment."""
        return self.workers or _cores()


class SchedulerFile(BaseModel):
    """A Dask cluster that somebody else runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["scheduler"]
    address: str = Field(description="address of the scheduler, e.g. tcp://scheduler:8786")
    timeout_s: float = Field(30.0, gt=0, description="longest wait for the scheduler and its first worker")

    def runner(self) -> DaskTaskRunner:
        """Task runner on the running cluster."""
        from prefect_dask import DaskTaskRunner

        return DaskTaskRunner(address=self.address, client_kwargs={"timeout": self.timeout_s})

    def preflight(self) -> int:
        """Number of workers, of which all can import larun; without this check a run would wait for ever.

        Raises
        ------
        RunFailed
            The scheduler does not answer, has no workers, or a worker or the scheduler lacks a module.
        """
        import distributed

        try:
            with distributed.Client(self.address, timeout=self.timeout_s, set_as_default=False) as client:
                client.wait_for_workers(1, timeout=self.timeout_s)
                able = client.run(_import_all, _PREFLIGHT)
                client.run_on_scheduler(_import_all, _PREFLIGHT)
                return len(able)
        except (OSError, TimeoutError) as error:
            raise RunFailed(
                f"the Dask scheduler {self.address} has no worker that answers within {self.timeout_s:.0f} s: {error}; "
                "start the cluster, or choose another cluster file"
            ) from error
        except ImportError as error:
            raise RunFailed(
                f"the Dask cluster at {self.address} cannot import larun: {error}; install the same release of larun "
                "on its scheduler and workers"
            ) from error


ClusterFile = Annotated[LocalClusterFile | SchedulerFile, Field(discriminator="kind")]


def load_cluster(name: str) -> LocalClusterFile | SchedulerFile:
    """Read a cluster file.

    Parameters
    ----------
    name : str
        Name of a file in `larun.config.CLUSTER_FOLDER` without its ending, or a path to a YAML file.

    Raises
    ------
    ConfigurationError
        No such file, or it says something that is not known.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else CLUSTER_FOLDER / f"{name}.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        known = ", ".join(sorted(p.stem for p in CLUSTER_FOLDER.glob("*.yaml")))
        raise ConfigurationError(
            f"there is no cluster file {path}; give one of {known}, or a path that ends in .yaml"
        ) from error
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"cannot read the cluster file {path}: {error}") from error
    try:
        return TypeAdapter(ClusterFile).validate_python(values)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_explain(error)}") from error


def dask_settings() -> dask.config.set:
    """Dask's settings during a run, as a context manager: spawned workers, and how often one group may kill one."""
    import dask

    return dask.config.set(
        {
            "distributed.scheduler.allowed-failures": DEATHS_BEFORE_SPLIT - 1,
            "distributed.worker.multiprocessing-method": "spawn",
        }
        | {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in WORKER_MALLOC.items()}
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _import_all(modules: tuple[str, ...]) -> None:
    for module in modules:
        importlib.import_module(module)


def _explain(error: ValidationError) -> str:
    said = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "the file"
        said.append(f"{key} is not known" if item["type"] == "extra_forbidden" else f"{key}: {item['msg']}")
    return "; ".join(said)
