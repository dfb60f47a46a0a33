"""What an array task does, with a stub in place of the model and a stub in place of squeue."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from promptmill.errors import ConfigurationError, Interrupted
from promptmill.files import read_json, write_json
from promptmill.generate import PromptForm, fill_shard, missing_requests
from promptmill.plan import recorded_manifest, shard_store, write_manifest
from promptmill.prompts import PreparedPrompts, PromptOptions, prepare_prompts, read_prepared
from promptmill.rows import Row
from promptmill.run import Identity, RunFolder, fix_identity, open_run
from promptmill.sampling import SamplingParameters
from promptmill.settings import RunSettings
from promptmill.slurm.after import requeue_if_sensible
from promptmill.slurm.claims import Claims, read_claim
from promptmill.slurm.commands import Job
from promptmill.slurm.environment import Place
from promptmill.slurm.errors import SlurmUnavailable
from promptmill.slurm.filling import ArrayTask, CrashLoop, Filling, refused_nodes
from promptmill.slurm.finishing import Unfinished, finish
from promptmill.slurm.layout import SlurmFolder
from promptmill.slurm.options import SlurmOptions
from promptmill.slurm.record import read_record
from promptmill.slurm.shards import missing_shards
from promptmill.slurm.submission import Plan, Submission, prepare
from promptmill.slurm.walltime import TimedStop, Walltime, signal_seconds, stop_in_time
from promptmill.status import read_status
from promptmill.stopping import StopRequest
from tests.fakes import StubEngine

ROWS = 512  # four shards


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run whose prompts are prepared and whose identity is fixed; nothing is generated yet."""
    return begun_run(tmp_path)


def begun_run(folder: Path, rows: int = ROWS) -> RunFolder:
    """The same in a folder of choice."""
    source = folder / "prompts.txt"
    source.write_text("".join(f"prompt {index}\n" for index in range(rows)))
    settings = RunSettings(
        "demo", None, "0" * 64, None, None, None, None, 1, SamplingParameters(), 0, "float32", "none", "transformers"
    )
    run = RunFolder.named(folder / "data", "mine")
    open_run(run, settings, str(source))
    prepared: PreparedPrompts = prepare_prompts(PromptOptions(source=str(source)), run.prompts_table)
    write_manifest(run, prepared, 1)
    identity = Identity.of(
        settings, revision="0" * 40, prompts=prepared.sha256, chat_template=None, dtype="float32", quantization="none"
    )
    fix_identity(run, identity)
    return run


def produce_with(engine: StubEngine) -> Callable[..., bool]:
    """What `produce_shard` does, without a model."""

    def produce(run: RunFolder, shard: int, *, stop: StopRequest, **_: Any) -> bool:
        manifest = recorded_manifest(run)
        store = shard_store(run, manifest, shard)
        form = PromptForm(chat=False, system_prompt=None, samples=1, run_seed=0)
        missing = missing_requests(store, form.requests(read_prepared(run.prompts_table, *manifest.shards[shard])))
        return fill_shard(
            store, missing, engine, checkpoint_seconds=0, should_stop=lambda: stop.requested, on_row=lambda row: None
        )

    return produce


def place(job: str = "7_0", restarts: int = 0) -> Place:
    """An array task somewhere."""
    return Place(job, "9", int(job.split("_")[1]), restarts, "n1", "0")


def running(*ids: str) -> Callable[[Sequence[str]], list[Job]]:
    """A squeue that knows these jobs as running."""
    return lambda asked: [Job(one, "", "RUNNING", "", "n1", None) for one in asked if one in ids]


Task = Callable[..., ArrayTask]


@pytest.fixture
def squeue() -> list[str]:
    """The ids of the jobs that run, as far as the tasks of a test are told."""
    return []


@pytest.fixture
def excluded() -> list[tuple[str, list[str]]]:
    """Job and nodes of each wish to keep what waits away from nodes."""
    return []


@pytest.fixture
def task(run: RunFolder, squeue: list[str], excluded: list[tuple[str, list[str]]]) -> Task:
    """One life of an array task of the run, on a cluster where these jobs run."""

    def task(where: Place | None = None, walltime: Walltime | None = None, **options: Any) -> ArrayTask:
        return ArrayTask(
            run,
            where or place(),
            walltime or Walltime(),
            StopRequest(),
            ask=lambda asked: running(*squeue)(asked),
            exclude=lambda job, nodes: excluded.append((job, nodes)),
            **options,
        )

    return task


def test_a_task_fills_its_own_shards_and_then_those_of_nobody(run: RunFolder, task: Task) -> None:
    """Its own first, in order; then from the far end; the model is placed once."""
    placed: list[int] = []
    one = task()
    filling = Filling(own=(1, 2))
    one.guarded(lambda: one.fill(filling, before_first=lambda: placed.append(1), produce=produce_with(StubEngine())))
    assert list(one.record.start.shards) == [1, 2, 3, 0]
    assert placed == [1]
    assert missing_shards(run) == []
    assert one.record.start.reason == "done"


def test_a_shard_that_somebody_works_on_is_left_alone(run: RunFolder, task: Task, squeue: list[str]) -> None:
    """As long as Slurm says that the job runs."""
    assert Claims(run, "7_5", "w").take(2)
    squeue.append("7_5")
    one = task()
    one.fill(Filling(own=(2,)), before_first=lambda: None, produce=produce_with(StubEngine()))
    assert missing_shards(run) == [2]
    squeue.clear()
    one.fill(Filling(own=(2,)), before_first=lambda: None, produce=produce_with(StubEngine()))
    assert missing_shards(run) == []


def test_claims_are_judged_by_their_files_where_slurm_does_not_answer(run: RunFolder) -> None:
    """A claim of just now is believed, one whose files are old is not."""

    def silent(ids: Sequence[str]) -> list[Job]:
        raise SlurmUnavailable("no answer")

    mine = Claims(run, "7_0", "me", silent)
    assert Claims(run, "7_1", "other", silent).take(0)
    assert {0} == mine.taken([0, 1])
    assert not mine.take(0)
    path = SlurmFolder.of(run).claim(0)
    write_json(path, {**read_json(path), "since": time.time() - 3600})
    assert set() == mine.taken([0, 1])
    assert mine.take(0)
    path.write_text("torn")
    assert read_claim(SlurmFolder.of(run), 0) is None


def test_a_restart_releases_the_claims_of_its_earlier_life(run: RunFolder, task: Task) -> None:
    """Others may have the shard; this task chooses anew."""
    assert Claims(run, "7_0", "w").take(3)
    task(place(restarts=1))
    assert read_claim(SlurmFolder.of(run), 3) is None


def test_two_at_the_same_shard_waste_work_and_damage_nothing(run: RunFolder) -> None:
    """Both commit all rows; each row is read once."""
    manifest = recorded_manifest(run)
    first = shard_store(run, manifest, 0)
    form = PromptForm(chat=False, system_prompt=None, samples=1, run_seed=0)
    requests = missing_requests(first, form.requests(read_prepared(run.prompts_table, *manifest.shards[0])))
    for requested in (dict(requests), dict(requests)):
        store = shard_store(run, manifest, 0)
        fill_shard(
            store, requested, StubEngine(), checkpoint_seconds=9, should_stop=lambda: False, on_row=lambda row: None
        )
    assert manifest.shard_rows(0) == first.read().num_rows


def test_a_node_that_cannot_do_the_dtype_excludes_itself(
    run: RunFolder, task: Task, excluded: list[tuple[str, list[str]]]
) -> None:
    """The reason stands in the status, and later submissions keep away from the node."""

    def refuse() -> None:
        raise ConfigurationError("The run's dtype is bfloat16, and Tesla T4 has none.")

    one = task()
    with pytest.raises(ConfigurationError):
        one.guarded(lambda: one.fill(Filling(), before_first=refuse, produce=produce_with(StubEngine())))
    assert one.record.start.reason == "refused"
    assert refused_nodes(run) == ["n1"]
    assert excluded == [("7", ["n1"])]
    assert read_status(run).refused_nodes == ("n1",)
    assert "Tesla T4" in read_status(run).errors[0].text


def test_a_crash_loop_ends_after_two_restarts(run: RunFolder, task: Task) -> None:
    """Three starts without a row; what the last said is repeated."""

    def crash(*_: Any, **__: Any) -> bool:
        raise RuntimeError("CUDA is not what it was")

    for restart in range(3):
        one = task(place(restarts=restart))
        one.require_no_crash_loop()
        with pytest.raises(RuntimeError):
            one.guarded(lambda one=one: one.fill(Filling(), before_first=lambda: None, produce=crash))
    last = task(place(restarts=3))
    with pytest.raises(CrashLoop, match="CUDA is not what it was"):
        last.require_no_crash_loop()
    assert "committed nothing" in read_status(run).errors[0].text


def test_preemptions_are_no_crash_loop(run: RunFolder, task: Task) -> None:
    """Being stopped before the first row says nothing about the program."""
    for restart in range(6):
        one = task(place(restarts=restart))
        one.require_no_crash_loop()
        with pytest.raises(KeyboardInterrupt):
            one.guarded(_interrupt)
    assert read_status(run).preemptions == 5


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("counted", [False, True])
def test_a_life_without_an_end_was_killed(run: RunFolder, task: Task, counted: bool) -> None:
    """The next life closes it, with what its progress file said last, unless its record has that already."""
    one = task()
    one.record.working_on(2)
    told = {"host": "h", "pid": 1, "doing": "shard 3 of 4", "began": round(time.time()) + 1, "updated": 0, "rows": 40}
    write_json(run.progress / f"{one.record.start.writer}.json", {**told, "tokens": 90, "tokens_per_second": 1})
    if counted:
        one.record.worked()  # killed between the shard's end and its own
    task(place(restarts=1))
    record = read_record(SlurmFolder.of(run).task("7_0"))
    assert record is not None
    assert (record.starts[0].reason, record.starts[0].rows, record.starts[0].tokens) == ("killed", 40, 90)


def test_a_task_whose_model_stood_still_is_brought_back_if_it_got_anywhere(run: RunFolder, task: Task) -> None:
    """It ends itself, which Slurm takes for an end; three such starts without a row are a crash loop."""
    requeued: list[str] = []

    def hang(run: RunFolder, shard: int, *, on_stall: Callable[[str], None], rows: int, **_: Any) -> bool:
        store = shard_store(run, recorded_manifest(run), shard)
        if rows:
            store.commit([Row(position, "r", "stop", 1, 1, 0, None) for position in range(rows)])
        on_stall("No forward pass has ended for 15 min")
        raise _Gone

    for restart, rows in enumerate((5, 0, 0, 0)):
        one = task(place(restarts=restart))
        with pytest.raises(_Gone):
            one.fill(Filling(own=(1,)), before_first=lambda: None, produce=partial(hang, rows=rows))
        said = requeue_if_sensible(run, place(restarts=restart), requeued.append)
        assert said.startswith("Requeued: the model stood still" if restart < 3 else "Not requeued: 3 starts in a row")
    assert requeued == ["9", "9", "9"]
    record = read_record(SlurmFolder.of(run).task("7_0"))
    assert record is not None
    assert [start.reason for start in record.starts] == ["stalled", "stalled", "stalled", "crash loop"]
    assert [start.committed for start in record.starts] == [True, False, False, False]


class _Gone(BaseException):
    """The process is there no longer."""


def test_whether_a_killed_life_committed_is_told_by_the_clock_of_the_files(run: RunFolder, task: Task) -> None:
    """On a node whose clock is hours ahead of the file server's, rows that were committed count all the same."""
    for restart in range(4):
        one = task(place(restarts=restart), clock=lambda: time.time() + 6 * 3600)
        one.require_no_crash_loop()
        one.record.working_on(1)
        row = Row(restart, "r", "stop", 1, 1, 0, None)
        shard_store(run, recorded_manifest(run), 1).commit([row])


def test_no_shard_is_begun_that_cannot_come_to_a_commit(run: RunFolder, task: Task) -> None:
    """Near the walltime the task stops, and says that it was the walltime."""
    one = task(walltime=Walltime(end=time.time() + 5, limit=3600))
    with pytest.raises(Interrupted):
        one.guarded(lambda: one.fill(Filling(), before_first=lambda: None, produce=produce_with(StubEngine())))
    assert one.record.start.reason == "walltime"
    assert missing_shards(run) == [0, 1, 2, 3]


def test_the_user_signal_is_an_announcement_only_near_the_walltime() -> None:
    """At any other time it is a preemption."""
    now = time.time()
    assert Walltime(now + 200, 14400).is_near()
    assert not Walltime(now + 2000, 14400).is_near()
    assert not Walltime().is_near()
    assert not TimedStop(StopRequest(), Walltime(now + 200, 14400)).requested
    assert TimedStop(StopRequest(), Walltime(now + 40, 14400)).requested
    assert [signal_seconds(limit) for limit in (None, 14400, 60)] == [180, 180, 15]


def test_the_last_job_ends_when_nothing_was_committed(run: RunFolder) -> None:
    """With the reason in the status; with progress it submits what is missing, so often and no more."""
    submitted: list[Submission] = []
    plan = Plan(SlurmOptions(resubmissions=1), None, 60.0)
    first = prepare(run, plan, missing_shards(run), most=2)
    write_submission(run, first)
    with pytest.raises(Unfinished, match="committed nothing"):
        finish(run)
    assert "committed nothing" in str(read_status(run).reason)
    produce_with(StubEngine())(run, 0, stop=StopRequest())
    again = finish(run, most=2, hand_over=lambda run, what: submitted.append(what) or what)
    assert again is not None
    assert submitted == [again.submission]
    assert (again.shards, again.submission.shards, again.submission.resubmitted) == (3, ((1,), (2, 3)), 1)
    write_submission(run, again.submission)
    time.sleep(0.02)
    produce_with(StubEngine())(run, 1, stop=StopRequest())
    with pytest.raises(Unfinished, match="after 1 resubmissions"):
        finish(run)


def write_submission(run: RunFolder, submission: Submission) -> None:
    """Note a submission as `submit` does."""
    from dataclasses import asdict

    write_json(SlurmFolder.of(run).submission, asdict(submission))


def test_a_row_is_begun_only_if_the_walltime_allows_it() -> None:
    """Half a minute of work is left: time for a row of ten seconds, and none for one of a minute."""
    stop = TimedStop(StopRequest(), Walltime(end=time.time() + 45 + 30, limit=3600))
    assert not stop.requested
    assert stop.time_for(10)
    assert not stop.time_for(60)


def test_outside_of_slurm_a_signal_alone_says_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One job inside Slurm knows its walltime; on a laptop there is none, and nothing is asked."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    told = StopRequest()
    with stop_in_time(told) as stop:
        assert stop is told
