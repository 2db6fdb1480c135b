"""Run a sweep on Ray Tune: a task per cohort, results through one actor, a second round for what was lost."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import memory_study
import sweeps
from memory_study.config import TrialConfig
from memory_study.record import Tag
from sweeps._batch import outcomes
from sweeps._desk import Place
from sweeps._flags import InputError
from sweeps._isolate import Failure
from sweeps._job import Job
from sweeps._machine import cluster, this_machine
from sweeps._options import Settings
from sweeps._pack import Machine, Task
from sweeps._progress import shown
from sweeps._reuse import choose_trial_to_run
from sweeps._tracking import IMPATIENCE_SECONDS, PATIENCE_SECONDS, Tally
from sweeps._worker import TrackerActor, Unfit, other_code, run_task

RETRIES = 2
"""Of a task whose worker died; it trains only what has not arrived yet. If it got further, it has as many again."""

NODE_SECONDS = 120.0
"""For all nodes to say what code they have: a new one starts a process and unpacks it first. Tasks ask once more."""

ASIDE_SECONDS = 30
"""For a node to be taken, once nothing runs there."""

NO_GPU = (
    "the cluster has no GPU at the moment, so its CPUs train; to have it start GPUs: --device cuda --gpu TYPE"
)

OBJECT_STORE_BYTES = 200 * 2**20
"""Of a local Ray: cohorts and records are small."""


def run(
    make_rounds: Callable[[Machine], Iterable[Sequence[Task]]],
    job: Job,
    settings: Settings,
    screen: TextIO,
    ended: list[Tally],
    wait_for_store: Callable[[], Place],
) -> None:
    """Train all tasks of ``make_rounds`` on Ray; ``ended`` gets the last tally, after Ctrl-C too.

    The next round is asked for once the results of the last one are in the store; where that takes nothing for
    :data:`sweeps._tracking.PATIENCE_SECONDS`, there is no next one.
    Raises :class:`LedgerError` where the store refuses, :class:`InputError` where there is no such cluster.
    """
    try:
        machine = _start_ray(settings, job)
        if settings.address and settings.device == "auto" and not machine.device.is_gpu:
            print(NO_GPU, file=screen, flush=True)
        tracker = _start_tracker(job, wait_for_store())
        patience = IMPATIENCE_SECONDS
        try:
            tally = Tally()
            for tasks in make_rounds(machine):
                with shown(tasks, _last_known(tracker), screen, tally):
                    _train(tasks, job, tracker)
                    tally = ray.get(tracker.drain.remote(PATIENCE_SECONDS))
                if tally.waiting:
                    break
            patience = 0.0  # all is written, or waiting was in vain
        finally:
            ended.append(ray.get(tracker.close.remote(patience)))
    finally:
        ray.shutdown()


def _start_ray(settings: Settings, job: Job) -> Machine:
    """Start Ray here, or join the cluster at ``settings.address``; says what there is to train on."""
    importing = threading.Thread(target=importlib.import_module, args=("ray.tune",))
    importing.start()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if settings.address:
            ray.init(
                settings.address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=_our_code()
            )
            _check_code(job)
            return _joined(settings)
        machine = this_machine(settings)
        ray.init(
            num_cpus=settings.cpus,
            num_gpus=settings.gpus if settings.device != "cpu" else 0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
        )
        return machine
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            [
                f"--address {settings.address or '(a local Ray)'} cannot be used ({reason}); "
                "start a cluster with `ray start --head`, or leave --address out"
            ]
        ) from error
    finally:
        importing.join()
        for number, handler in handlers.items():  # Ray puts its own in their place
            signal.signal(number, handler)


def _our_code() -> dict[str, Any]:
    """Sends this project's code to every node. A submitted job has it sent by the submission."""
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {}
    return {"py_modules": [str(Path(module.__file__ or "").parent) for module in (memory_study, sweeps)]}


def _check_code(job: Job) -> None:
    """Raises :class:`InputError` for nodes whose code is not the driver's: their records would not be what they say.

    One without CPUs, as a cluster's head should be, trains nothing; those that come later are asked by their tasks.
    """
    listed: Callable[[], list[dict[str, Any]]] = ray.nodes
    nodes = [node["NodeID"] for node in listed() if node["Alive"] and node["Resources"].get("CPU")]
    ask: Any = ray.remote(num_cpus=0)(other_code)
    asked = [
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(job)
        for node in nodes
    ]
    answers: list[str] = []
    answered = ray.wait(asked, num_returns=len(asked), timeout=NODE_SECONDS)[0] if asked else []
    for answer in answered:
        with contextlib.suppress(
            ray.exceptions.RayError
        ):  # a node lost meanwhile; one that comes back is asked again
            answers.append(ray.get(answer))
    _refuse(filter(None, answers))


def _refuse(unfit: Iterable[str]) -> None:
    """Raises :class:`InputError`, a line for each of these nodes, if there are any."""
    problems = [f"node {node}" for node in sorted(set(unfit))]
    if problems:
        raise InputError(problems)


def _joined(settings: Settings) -> Machine:
    resources: Callable[[], dict[str, float]] = ray.cluster_resources
    there = resources()
    accelerators = [name for name in there if name.startswith("accelerator_type:")]
    return cluster(settings, there.get("CPU", 0), there.get("GPU", 0), accelerators)


def _start_tracker(job: Job, desk: Place) -> Any:
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(TrackerActor)
    options = actor.options(num_cpus=0, max_concurrency=16, scheduling_strategy=here)
    return options.remote(job, desk)


def _last_known(tracker: Any) -> Callable[[], Tally]:
    """Asks the tracker where it stands; while that cannot be known, gives what was known before."""
    last = Tally()

    def tally() -> Tally:
        nonlocal last
        with contextlib.suppress(ray.exceptions.RayError):
            last = ray.get(tracker.tally.remote(), timeout=10)
        return last

    return tally


def _train(tasks: Sequence[Task], job: Job, tracker: Any) -> None:
    """Run tasks until each trial has an outcome: see :func:`_go_on` for a task that was lost in all its retries.

    Where a node was to blame, the task goes on as it is, on others.
    """
    aside: set[str] = set()
    while tasks:
        lost = _fit(tasks, job, tracker)
        refused = ray.get(tracker.refused.remote()) if lost else {}
        if refused:
            _set_aside(refused.values(), aside, any(task.gpu for task in tasks))
        tasks = []
        for task, reason in lost:
            left = ray.get(tracker.unseen.remote(task.cohort.configs))
            if left and task.cohort.id in refused:
                tasks.append(task.rest(left))
            elif left:
                further = _go_on(task, left, job)
                tasks += further
                if not further:
                    _give_up(task.halves(left)[0], reason, job, tracker)


def _set_aside(unfit: Collection[Unfit], aside: set[str], on_gpus: bool) -> None:
    """Take whole nodes, so that no task gets there any more, and add their ids to ``aside``.

    Raises :class:`InputError`, a line for each node, where no other is left, or one was set aside in vain.
    """
    listed: Callable[[], list[dict[str, Any]]] = ray.nodes
    need = "GPU" if on_gpus else "CPU"
    nodes = {n["NodeID"]: n["Resources"] for n in listed() if n["Alive"] and n["Resources"].get(need)}
    there = {node.id for node in unfit} & nodes.keys()  # one that has gone since takes no more tasks
    more = there - aside
    if there & aside or nodes.keys() <= aside | more:
        _refuse(node.reason for node in unfit)
    aside |= more
    for node in more:
        whole = {kind: nodes[node][kind] for kind in ("CPU", "GPU") if nodes[node].get(kind)}
        placement_group([whole], bundle_label_selector=[{"ray.io/node-id": node}]).wait(ASIDE_SECONDS)


def _go_on(task: Task, left: Sequence[TrialConfig], job: Job) -> list[Task]:
    """What to try next of a lost task with these trials left: nothing where it is a single one that gets nowhere.

    Machines that come and go may end any task many times: as long as it gets further in each round, it is tried again as it
    is. That ends, because epochs and trials do. One that gets nowhere may hold a trial that is to blame: it goes on in
    halves.
    """
    rest = task.rest(left)
    epoch = job.epoch_of(rest.checkpoints, left, gpu=task.gpu > 0)
    if epoch > task.epoch or len(left) < len(task.cohort.configs):
        return [replace(rest, epoch=max(epoch, task.epoch))]
    return task.halves(left) if len(left) > 1 else []


def _fit(tasks: Sequence[Task], job: Job, tracker: Any) -> list[tuple[Task, str]]:
    """One round of Ray Tune; the tasks that ended in an error, and what Ray says of it."""
    from ray import tune
    from ray.tune import schedulers

    fifo: Any = schedulers.FIFOScheduler
    scheduler = fifo()
    scheduler.choose_trial_to_run = choose_trial_to_run
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(16, len(tasks)))  # how far an autoscaler sees
    # Tune unpickles the trainable, with all that its functions close over, for every task: .37 s a task at 10,000
    # trials if it held them. So each task's needs are in its own config, and its trials with the tracker.
    trainable = tune.with_resources(
        tune.with_parameters(run_task, job=job, tracker=tracker, assigned=tracker.assign.remote(tasks)),
        lambda config: tune.PlacementGroupFactory([config["task"]["needs"]]),
    )
    configs = [{"number": number, "needs": _resources(task)} for number, task in enumerate(tasks)]
    with tempfile.TemporaryDirectory(prefix="memory-study-") as folder:
        tuner = tune.Tuner(
            trainable,
            param_space={"task": tune.grid_search(configs)},
            tune_config=tune.TuneConfig(reuse_actors=True, scheduler=scheduler),
            run_config=tune.RunConfig(
                storage_path=folder, verbose=0, failure_config=tune.FailureConfig(max_failures=RETRIES)
            ),
        )
        results: Any = tuner.fit()
    return [(tasks[r.config["task"]["number"]], _last_line(r.error)) for r in results if r.error is not None]


def _resources(task: Task) -> dict[str, float]:
    return {"CPU": task.cpu, "GPU": task.gpu} if task.gpu else {"CPU": task.cpu}


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]


def _give_up(task: Task, reason: str, job: Job, tracker: Any) -> None:
    """Note the one trial of a task as failed, because its worker died each time."""
    error = f"its worker died {RETRIES + 1} times and got no further: {reason}"
    failure = Failure(task.cohort.configs[0].id, error)
    now = int(time.time() * 1000)
    tags = {**job.tags, Tag.DEVICE: "unknown"}
    ray.get(tracker.submit.remote(outcomes(task.cohort, [], [failure], tags, (now, now))))
