"""Which waiting task gets the process of one that has ended.

Ray Tune gives it to the task that has waited longest, even where a process of its own is being started for that one: that
process is ended, and its node starts another. Where tasks end faster than processes start, which many nodes make of tasks of
any length, a node that has just come gets nowhere until nothing waits any more (read in Ray 2.60's ``tune_controller``; of
64 simulated nodes with tasks of 10 s, 30 did not train: docs/reliability.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

PENDING = "PENDING"
"""Tune's word for a task that has not begun."""


def choose_trial_to_run(tune_controller: Any) -> Any:
    """The task that a free process goes to, in place of ``FIFOScheduler.choose_trial_to_run``; None without either.

    The first one, in the order of the plan, for which no process is being started; where one is for each, the first of all,
    because nothing else is left to do for that process. Tasks that find no free process are Tune's to start.
    """
    controller = tune_controller._tune_controller  # what wraps it for schedulers warns of each look inside
    if not controller._actor_cache.num_cached_objects:
        return None
    first = None
    for task in _fitting(controller):
        if not _has_process(controller, task):
            return task
        first = first or task
    return first


def _fitting(controller: Any) -> Iterator[Any]:
    """Waiting tasks with the resources of a free process, in the order of the plan."""
    for task in controller.get_trials():
        if task.status == PENDING and controller._actor_cache.has_cached_object(task.placement_group_factory):
            yield task


def _has_process(controller: Any, task: Any) -> bool:
    """Whether one is being started for it, or made ready again; else it waits for a node at most."""
    actor = controller._trial_to_actor.get(task)
    return actor is not None and controller._actor_manager.is_actor_started(actor)
