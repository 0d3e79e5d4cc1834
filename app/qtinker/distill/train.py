"""The training loop: finetuning, distilling and the control are all this one.

`train` is a generator: it yields events as plain data (docs/architecture.md) and returns a `TrainResult`. One step:
read a batch, cut it into micro-batches, sum their gradients, clip, step. Whatever is random in a step (dropout) is a
function of the seed and the step's number alone, and the learning rate of the step's number, so a training that was
cut and resumed does exactly what an uninterrupted one does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import checkpoint
from ..checkpoint import Loaded
from ..data import Encoded, collate, epoch_batches
from ..errors import InputError, RunStopped
from ..spec import TrainingSpec
from . import how, methods, precision, schedule, troubles, used_rows
from .device import busy_share, memory_kept
from .processes import Processes
from .progress import Progress, TrainResult, fingerprint
from .state import StateFolder, copy_weights, optimizer_tensors, restore_optimizer, weights_of
from .step import Step
from .teacher import Teacher
from .teachers import Teachers

Event = dict[str, Any]
EVENT_SECONDS = 0.5
"""Least time between two step events."""
SAVE_SECONDS = 60.0
"""Time between two saved states, where the spec names no number of steps; more where saving takes long."""


def train(
    student: Loaded,
    data: Encoded,
    *,
    task: Any,
    training: TrainingSpec,
    folder: str | Path,
    method: Any = None,
    teacher: Teacher | Teachers | None = None,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    phase: str = "finetune",
) -> Generator[Event, None, TrainResult]:
    """Train the student in place; resume by itself where `folder` holds a saved state of the same training.

    At the end the student holds the weights of the best evaluation (the last ones where nothing was evaluated), in
    eval mode, on the training's device.

    Args:
        data: the training examples, tokenized for the student.
        task: `tasks.Task`.
        folder: where states and best weights are kept; may be removed when the training is over.
        method: settings of a distillation method (`spec.METHODS`); None finetunes on the labels alone.
        teacher: needed by a method.
        evaluate: metrics of the student, `task.metric` among them; called at the end, and once an epoch or every
            `eval_every` steps; never in a stage that does not train the answers.
        should_stop: asked after every step; True saves the state and raises RunStopped.
        phase: goes into the events.

    Raises:
        InputError: the method does not suit the two models, or the state in `folder` is of another training.
        RunStopped: `should_stop` said so; calling again with the same arguments goes on.
        RunFailed: the loss is not finite, or one example alone does not fit in memory.
    """
    return (
        yield from _Training(
            student, data, task=task, training=training, folder=folder, method=method, teacher=teacher,
            evaluate=evaluate, should_stop=should_stop, phase=phase,
        ).run()
    )  # fmt: skip


class _Training:
    def __init__(
        self, student: Loaded, data: Encoded, *, task: Any, training: TrainingSpec, folder: str | Path, method: Any,
        teacher: Teacher | Teachers | None, evaluate: Any, should_stop: Any, phase: str,
    ) -> None:  # fmt: skip
        if len(data) == 0:
            raise InputError("There are no training examples.", "Give data with at least one example.")
        if method is not None and teacher is None:
            raise InputError(f"The method {method.name!r} needs a teacher.", "Name one.")
        if training.threads:
            torch.set_num_threads(training.threads)
        self.student, self.model, self.data, self.task = student, student.model, data, task
        self.training, self.teacher, self.phase = training, teacher, phase
        self.evaluate, self.should_stop = evaluate, should_stop
        self.states = StateFolder(folder)
        self.processes = Processes(training.device)
        self.device = self.processes.device
        self.method = methods.build(
            method, task=task, student=student, teacher=teacher.loaded if teacher else None,
            same_tokens=teacher.same_tokens if teacher else True, seed=training.seed,
        )  # fmt: skip
        self.steps_per_epoch = -(-len(data) // training.batch_size)
        steps = max(1, math.ceil(training.epochs * self.steps_per_epoch - 1e-9))
        self.total_steps = min(steps, training.max_steps or steps)
        self.stage_ends = schedule.stage_ends(self.method.stages, self.total_steps)
        self.embedding: used_rows.UsedRows | None = None
        self.how = how.How(training.precision, None, "")
        self._own_kernel: str | None = None
        self.progress = Progress(micro_batch=-(-training.batch_size // training.gradient_accumulation))
        self.fingerprint = fingerprint(training, method, data, task=task, model=self.model)

    # --- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> Generator[Event, None, TrainResult]:
        """The loop, with a stand-in for the word embeddings while it lasts."""
        saved = self.states.load()
        checkpoint.own_memory(self.model)
        self.model.to(self.device)
        self.method.projections.to(self.device)
        padding = self.student.tokenizer.pad_token_id
        if not self.task.rewrites:
            self.embedding = used_rows.put_in(self.model, self.data.input_ids, also=(padding,))
        try:
            with memory_kept():
                return (yield from self._loop(saved))
        finally:
            if self.embedding is not None:
                used_rows.take_out(self.model, self.embedding)
            self.how.give_back(self.model, self._own_kernel)
            self.states.close()

    def _loop(self, saved: Any) -> Generator[Event, None, TrainResult]:
        self._begin(saved[1] if saved else None)
        if self.teacher is not None:
            self.teacher.prepare(self.device, self.step.precision)
        if saved is not None:
            self._restore(*saved)
            if self.progress.finished:
                return self._result()
            yield self._event("message", level="info", text=f"Going on after step {self.progress.step}.")
        else:
            yield self._event("message", level="info", text=self.how.words)
        self.processes.share_weights([*self.model.parameters(), *self.method.projections.parameters()])
        self._weights_written()

        progress, training = self.progress, self.training
        batches: list[np.ndarray] = []
        self._last_event, self._last_save = 0.0, time.monotonic()
        session_start, session_examples = time.monotonic(), 0
        seconds_before = progress.seconds
        while progress.step < self.total_steps and not progress.stopped_early:
            if not batches:
                batches = epoch_batches(
                    self.data.lengths, training.batch_size, seed=training.seed, epoch=progress.epoch
                )
            self._enter_stage()
            indices = batches[progress.batch_in_epoch]
            rate = self._rate()
            parts, loss = yield from self._step(indices, rate)
            if self.device.type != "cuda":  # where nobody waits for the device, it is looked at before each event
                self._check()
            progress.step += 1
            progress.batch_in_epoch += 1
            progress.examples += len(indices)
            session_examples += len(indices)
            epoch = progress.epoch + progress.batch_in_epoch / len(batches)
            if epoch_over := progress.batch_in_epoch == len(batches):
                progress.epoch, progress.batch_in_epoch, batches = progress.epoch + 1, 0, []
            last = progress.step == self.total_steps
            elapsed = time.monotonic() - session_start
            progress.seconds = seconds_before + elapsed
            if last or progress.step == 1 or time.monotonic() - self._last_event >= EVENT_SECONDS:
                self._last_event = time.monotonic()
                speed = session_examples / max(elapsed, 1e-9)
                self._check()
                busy = busy_share(self.device)
                yield self._event(
                    "step", step=progress.step, total_steps=self.total_steps, epoch=round(epoch, 4), loss=float(loss),
                    parts={name: float(value) for name, value in parts.items()}, learning_rate=rate,
                    examples_per_second=speed,
                    eta_s=(self.total_steps - progress.step) * training.batch_size / max(speed, 1e-9),
                    **({} if busy is None else {"gpu_busy": busy}),
                )  # fmt: skip
            due = epoch_over if training.eval_every is None else progress.step % training.eval_every == 0
            evaluated = False
            if (due or last) and self.evaluate is not None and self._stage.judged:
                evaluated = True
                yield self._evaluate()
                if training.early_stopping and progress.without_improvement >= training.early_stopping and not last:
                    progress.stopped_early = True
                    yield self._event(
                        "message", level="info",
                        text=f"Stopped early: no improvement in {progress.without_improvement} evaluations.",
                    )  # fmt: skip
            if last or progress.stopped_early:
                break
            (stopping,) = self.processes.any(self.should_stop())
            if stopping or evaluated or self._save_due():
                self._save()
            if stopping:
                self.states.wait()
                raise RunStopped(f"Stopped after step {progress.step} of {self.total_steps}; the state is saved.")

        progress.finished = True
        self._save()
        return self._result()

    def _step(self, indices: np.ndarray, rate: float) -> Generator[Event, None, tuple[dict[str, Tensor], Tensor]]:
        """One optimizer step on one batch; halves the micro-batch and does it again where memory runs out.

        Returns:
            The parts of the loss, unweighted, and the weighted sum; means over the whole batch, still on the device.
        """
        mine = indices[self.processes.rank :: self.processes.count]
        seed = schedule.step_seed(self.training.seed, self.progress.step, self.processes.rank)
        while True:
            out_of_memory = False
            totals: dict[str, Tensor] = {}
            try:
                totals = self.step.gradients(
                    mine, stage=self._stage.name, seed=seed, micro_batch=self.progress.micro_batch
                )
            except (RuntimeError, MemoryError) as error:
                if not troubles.is_out_of_memory(error):
                    raise
                out_of_memory = True
            (out_of_memory,) = self.processes.any(out_of_memory)
            if not out_of_memory:
                break
            yield self._halve()
        names = [name for name in totals if name != "loss"]
        if self.processes.count > 1:
            names = self.processes.from_main(names)
            summed = self.processes.sum([float(totals.get(name, 0.0)) for name in [*names, "loss"]])
            told = torch.tensor(summed, dtype=torch.float32, device=self.device).unbind()
            totals = dict(zip([*names, "loss"], told, strict=True))
        try:
            self.step.update(totals["loss"], rate, number=self.progress.step + 1)
        except troubles.NotFinite as trouble:
            self._refuse(trouble)
        except (RuntimeError, MemoryError) as error:
            if troubles.is_out_of_memory(error):  # the moments, made at the first step: nothing left to halve
                raise troubles.too_big(self.progress.step + 1, "in the optimizer") from error
            raise
        return {name: totals[name] for name in names}, totals["loss"]

    def _evaluate(self) -> Event:
        progress, metrics = self.progress, None
        self._check()
        self._weights_read()
        if self.processes.is_main:
            self.states.wait()
            self.model.eval()
            with torch.no_grad(), precision.autocast(self.device, self.step.precision):
                metrics = {name: float(value) for name, value in self.evaluate(self.model).items()}
        metrics = self.processes.from_main(metrics)
        score = metrics[self.task.metric]
        best = progress.best is None or score > progress.best
        if best:
            progress.best, progress.best_step, progress.best_metrics = score, progress.step, metrics
            progress.without_improvement = 0
            if self.processes.is_main:
                progress.best_file = self.states.save_best(self.model, progress.step)
            progress.best_file = self.processes.from_main(progress.best_file)
        elif self._stage is self.method.stages[-1]:  # a stage before it is there for what follows
            progress.without_improvement += 1
        progress.history.append({"step": progress.step, "metrics": metrics})
        return self._event("eval", step=progress.step, metric=self.task.metric, metrics=metrics, best=best)

    # --- stages -----------------------------------------------------------------------------------------------------

    @property
    def _stage(self) -> methods.Stage:
        return self.method.stages[self.progress.stage]

    def _enter_stage(self) -> None:
        """Go to the next stage when this one's steps are done: with fresh moments, as after a separate training."""
        while self.progress.step >= self.stage_ends[self.progress.stage]:
            self.progress.stage += 1
            self._make_optimizer()

    def _rate(self) -> float:
        """The learning rate of the next step; tells the method how far the stage has come, or
        the training where answers are learned in both."""
        start = self.stage_ends[self.progress.stage - 1] if self.progress.stage else 0
        steps = self.stage_ends[self.progress.stage] - start
        if self.method.answers_throughout:
            self.method.progress = self.progress.step / max(self.total_steps - 1, 1)
        else:
            self.method.progress = (self.progress.step - start) / max(steps - 1, 1)
        return schedule.learning_rate(
            self.progress.step - start,
            steps,
            peak=self.training.learning_rate,
            warmup_ratio=self.training.warmup_ratio,
        )

    def _make_optimizer(self) -> None:
        self.step.new_optimizer(also=[self.embedding.rows] if self.embedding is not None else [])

    # --- saving and resuming ----------------------------------------------------------------------------------------

    def _begin(self, counters: dict[str, Any] | None) -> None:
        """Settle arithmetic and optimizer, from a saved state's counters where there are any."""
        if counters is not None and counters["fingerprint"] != self.fingerprint:
            raise InputError(
                f"The state saved in {self.states.folder} is of a training with other settings or data.",
                "Resume with the same settings, or start a new run.",
            )
        self.how = how.settle(
            self.model, self.device, self.data, self.training, steps=self.total_steps, saved=counters,
            told=self.processes.from_main,
        )  # fmt: skip
        self._own_kernel = self.how.take(self.model)
        self.step = Step(
            self.student, method=self.method, teacher=self.teacher, training=self.training, processes=self.processes,
            cut=self._collate, lengths=self.data.lengths, arithmetic=self.how.precision,
        )  # fmt: skip
        self._make_optimizer()

    def _restore(self, groups: dict[str, dict[str, Tensor]], counters: dict[str, Any]) -> None:
        self.progress = Progress(**counters["progress"])
        if self.progress.finished and self.progress.best_file:
            return  # the best weights are all that counts
        self._make_optimizer()
        copy_weights(self.model, groups["student"])
        copy_weights(self.method.projections, groups.get("projections", {}))
        self._weights_written()
        restore_optimizer(self.step.optimizer, groups.get("optimizer", {}))
        if counters["scaler"]:
            self.step.scaler.load_state_dict(counters["scaler"])

    def _save_due(self) -> bool:
        if self.training.save_every is not None:
            return self.progress.step % self.training.save_every == 0
        return self.processes.from_main(time.monotonic() - self._last_save >= self._save_interval)

    _save_interval = SAVE_SECONDS

    def _save(self) -> None:
        """Save the state of after this step; but for the last one, written while the training goes on."""
        self._check()
        start = time.monotonic()
        self._weights_read()
        if self.processes.is_main:
            save = self.states.save if self.progress.finished else self.states.save_aside
            save(
                {
                    "student": {} if self.progress.finished and self.progress.best_file else weights_of(self.model),
                    "projections": weights_of(self.method.projections),
                    "optimizer": {} if self.progress.finished else optimizer_tensors(self.step.optimizer),
                },
                {
                    "step": self.progress.step,
                    "best_file": self.progress.best_file,
                    "fingerprint": self.fingerprint,
                    "precision": self.step.precision,
                    "attention": self.how.kernel,
                    "scaler": self.step.scaler.state_dict(),
                    "progress": vars(self.progress),
                },
            )
        self.processes.wait()
        self._last_save = time.monotonic()
        self._save_interval = max(SAVE_SECONDS, 20 * (self._last_save - start))

    def _result(self) -> TrainResult:
        progress = self.progress
        if progress.best_file is not None:
            self.states.load_best(self.model, progress.best_file)
            self._weights_written()
        self.model.zero_grad(set_to_none=True)
        self.model.eval()
        return TrainResult(
            steps=progress.step, total_steps=self.total_steps, best_step=progress.best_step,
            metrics=progress.best_metrics, history=progress.history, precision=self.step.precision,
            device=str(self.device), examples_per_second=progress.examples / max(progress.seconds, 1e-9),
            stopped_early=progress.stopped_early,
        )  # fmt: skip

    def _weights_read(self) -> None:
        """To be called before all weights of the model are read."""
        if self.embedding is not None:
            self.embedding.sync()

    def _weights_written(self) -> None:
        """To be called after weights of the model were written."""
        if self.embedding is not None:
            self.embedding.refresh()

    # --- what can go wrong ------------------------------------------------------------------------------------------

    def _halve(self) -> Event:
        self.step.forget()
        if self.progress.micro_batch == 1:
            raise troubles.too_big(self.progress.step + 1, "with one example at a time")
        self.progress.micro_batch = -(-self.progress.micro_batch // 2)
        spec = getattr(self.method, "spec", None)
        compares = spec is not None and spec.soft_loss == "dist"
        change = "dist compares no more at a time, so the result changes" if compares else "the result is the same"
        return self._event(
            "message", level="warning",
            text=f"Out of memory at step {self.progress.step + 1}: going on with micro-batches of "
            f"{self.progress.micro_batch} examples; {change}.",
        )  # fmt: skip

    def _check(self) -> None:
        """Wait for the device and look whether all steps so far went well."""
        try:
            self.step.check()
        except troubles.NotFinite as trouble:
            self._refuse(trouble)

    def _refuse(self, trouble: troubles.NotFinite) -> None:
        kept = "No earlier state was saved."
        if self.progress.best_file:
            file = self.states.folder / self.progress.best_file
            kept = f"The best weights, of step {self.progress.best_step}, are in {file}."
        raise troubles.not_finite(
            str(trouble), step=trouble.step, kept=kept, training=self.training, precision=self.step.precision
        )

    # --- small things -----------------------------------------------------------------------------------------------

    def _collate(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Examples as a batch; what a task hides in it depends on neither micro-batches nor processes."""
        pad = self.student.tokenizer.pad_token_id
        batch = collate(self.data, indices, pad_token_id=pad)
        return self.task.prepare(batch, seed=self.training.seed, epoch=self.progress.epoch)

    def _event(self, kind: str, **fields: Any) -> Event:
        return {"time": time.time(), "kind": kind, "phase": self.phase, **fields}
