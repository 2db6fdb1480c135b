"""Which waiting task gets a free process. That Tune obeys, tests/benchmarks/test_utilisation.py shows on a real Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

from sweeps._reuse import choose_trial_to_run


@dataclass(eq=False)
class Waiting:
    """A task as Tune knows it."""

    name: str
    status: str = "PENDING"
    placement_group_factory: str = "a quarter of a GPU"


@dataclass
class Controller:
    """What is looked at of Tune's. ``starting`` and ``queued`` name tasks that a process starts for, or is asked for."""

    tasks: Sequence[Waiting]
    free: Sequence[str] = ("a quarter of a GPU",)
    starting: Sequence[str] = ()
    queued: Sequence[str] = ()
    looks: int = field(default=0)

    def get_trials(self) -> Sequence[Waiting]:
        self.looks += 1
        return self.tasks

    @property
    def _actor_cache(self) -> SimpleNamespace:
        return SimpleNamespace(num_cached_objects=len(self.free), has_cached_object=lambda r: r in self.free)

    @property
    def _trial_to_actor(self) -> dict[Waiting, str]:
        return {t: t.name for t in self.tasks if t.name in {*self.starting, *self.queued}}

    @property
    def _actor_manager(self) -> SimpleNamespace:
        return SimpleNamespace(is_actor_started=lambda actor: actor in self.starting)


def chosen(controller: Controller) -> str | None:
    task = choose_trial_to_run(SimpleNamespace(_tune_controller=controller))
    return task and task.name


def test_the_first_task_that_waits_gets_it() -> None:
    tasks = [
        Waiting("ended", "TERMINATED"),
        Waiting("trains", "RUNNING"),
        Waiting("first"),
        Waiting("second"),
    ]
    assert chosen(Controller(tasks, queued=["first", "second"])) == "first"


def test_a_process_that_is_being_started_keeps_its_task() -> None:
    tasks = [Waiting("first"), Waiting("second"), Waiting("third")]
    assert chosen(Controller(tasks, starting=["first", "second"], queued=["third"])) == "third"
    assert chosen(Controller(tasks, starting=["first", "second"])) == "third"


def test_where_processes_start_for_all_that_wait_the_first_one_need_not_wait_for_its_own() -> None:
    tasks = [Waiting("first"), Waiting("second")]
    assert chosen(Controller(tasks, starting=["first", "second"])) == "first"


def test_a_process_goes_to_a_task_with_its_resources_only() -> None:
    tasks = [Waiting("larger", placement_group_factory="half a GPU"), Waiting("fitting")]
    assert chosen(Controller(tasks)) == "fitting"
    assert chosen(Controller(tasks[:1])) is None


def test_without_a_free_process_the_tasks_are_not_even_looked_at() -> None:
    controller = Controller([Waiting("first")], free=())
    assert chosen(controller) is None
    assert controller.looks == 0
