"""Times a widely used toolkit, or transformers.Trainer, at the job of benchmarks/speed.py, which starts this file.

    python benchmarks/speed_rivals.py JOB

JOB is JSON: rival (textbrewer, trainer), method, precision, teacher, student, data, steps, warm_up. TextBrewer is set
up as its SST-2 notebook does it: texts padded to 128 tokens, random batches of 32, AdamW, a linear schedule with
warm-up, the teacher asked in each step. Trainer has dynamic padding and a fused AdamW.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from typing import Any

import torch
from speed_common import BATCH, MAX_LENGTH, Clock, Timed, answer, matches, operations, peak_memory, read_rows
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, BertForSequenceClassification

TEMPERATURE = 2.0


class Enough(Exception):
    """The sample of steps is done."""


class Meter:
    """Counts steps; starts the clock after the warm-up and ends the training after the sample."""

    def __init__(self, job: dict[str, Any], teacher: Timed) -> None:
        self.clock, self.teacher, self.job, self.step = Clock(job["precision"]), teacher, job, 0
        self.result: dict[str, Any] = {}

    def __call__(self) -> None:
        if self.step == self.job["warm_up"]:
            self.clock.start()
            self.teacher.seconds = 0.0
        elif self.step == self.job["warm_up"] + self.job["steps"]:
            self.result = {"seconds": self.clock.seconds, "teacher_seconds": self.teacher.seconds}
            self.clock.measure_peak()
            raise Enough
        elif self.step > self.job["warm_up"]:
            self.clock.tick()
        self.step += 1


def main(job: dict[str, Any]) -> None:
    """Train for the sample of steps and write the row."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(job["student"])
    student = BertForSequenceClassification.from_pretrained(job["student"])
    teacher = BertForSequenceClassification.from_pretrained(job["teacher"])
    rows = read_rows(job["data"], BATCH * (job["steps"] + job["warm_up"] + 1))
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    encoded = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    lengths = [len(ids) for ids in encoded]
    meter = Meter(job, Timed(teacher))
    train = {"textbrewer": with_textbrewer, "trainer": with_trainer}[job["rival"]]
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough):
        train(job, student, teacher, tokenizer, texts, labels, folder, meter)
    count = job["steps"] * BATCH
    share = count / len(lengths)
    work = share * operations(student.config, lengths) * 3
    asked = share * operations(teacher.config, lengths)
    import transformers

    answer({
        **meter.result, "examples": count, "examples_per_second": count / meter.result["seconds"],
        "teacher_examples_per_second": count / meter.result["teacher_seconds"],
        "student_examples_per_second": count / (meter.result["seconds"] - meter.result["teacher_seconds"]),
        "operations_per_second": (work + asked) / meter.result["seconds"], "peak": meter.clock.peak,
        "peaks": [min(meter.clock.peaks), max(meter.clock.peaks)], "memory": peak_memory(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    })  # fmt: skip


def with_textbrewer(
    job: dict[str, Any], student: Any, teacher: Any, tokenizer: Any, texts: list[str], labels: list[int], folder: str,
    meter: Meter,
) -> None:  # fmt: skip
    """As the SST-2 notebook of TextBrewer's documentation trains, with the matches of the method."""
    from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig
    from torch.utils.data import DataLoader, RandomSampler
    from transformers import get_linear_schedule_with_warmup

    batch = tokenizer(texts, truncation=True, padding="max_length", max_length=MAX_LENGTH, return_tensors="pt")
    batch = {**batch, "labels": torch.tensor(labels)}
    dataset = [{name: tensor[number] for name, tensor in batch.items()} for number in range(len(texts))]
    loader = DataLoader(dataset, sampler=RandomSampler(dataset), batch_size=BATCH)
    pairs = matches(job["method"], student=student.config.num_hidden_layers, teacher=teacher.config.num_hidden_layers)
    student.config.output_hidden_states = teacher.config.output_hidden_states = bool(pairs)

    def adaptor(batch: Any, outputs: Any) -> dict[str, Any]:
        found = {"logits": outputs.logits}
        return {**found, "hidden": outputs.hidden_states} if pairs else found

    loss = "pkd" if job["method"] == "patient" else "hidden_mse"
    widths = [student.config.hidden_size, teacher.config.hidden_size]
    config = DistillationConfig(
        intermediate_matches=[
            {"layer_T": theirs, "layer_S": ours, "feature": "hidden", "loss": loss, "weight": 1,
             "proj": ["linear", *widths]}
            for ours, theirs in pairs
        ]
    )  # fmt: skip
    distiller = GeneralDistiller(
        train_config=TrainingConfig(device="cpu", output_dir=folder), distill_config=config, model_T=teacher,
        model_S=student, adaptor_T=adaptor, adaptor_S=adaptor,
    )  # fmt: skip

    def counted(batch: Any) -> Any:
        meter()
        return batch

    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4)
    schedule = {"num_warmup_steps": len(loader) // 10, "num_training_steps": len(loader)}
    with distiller:
        distiller.train(
            optimizer, loader, 1, scheduler_class=get_linear_schedule_with_warmup, scheduler_args=schedule,
            callback=None, batch_postprocessor=counted,
        )  # fmt: skip


def with_trainer(
    job: dict[str, Any], student: Any, teacher: Any, tokenizer: Any, texts: list[str], labels: list[int], folder: str,
    meter: Meter,
) -> None:  # fmt: skip
    """transformers.Trainer with dynamic padding and the method's loss in `compute_loss`."""
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    pairs = matches(job["method"], student=student.config.num_hidden_layers, teacher=teacher.config.num_hidden_layers)
    if pairs:
        student.projection = nn.Linear(student.config.hidden_size, teacher.config.hidden_size)
    teacher.eval()

    class Distilling(Trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            labels = inputs.pop("labels")
            with torch.no_grad():
                theirs = teacher(**inputs, output_hidden_states=bool(pairs))
            ours = model(**inputs, output_hidden_states=bool(pairs))
            soft = F.kl_div(
                F.log_softmax(ours.logits.float() / TEMPERATURE, -1),
                F.log_softmax(theirs.logits.float() / TEMPERATURE, -1),
                reduction="batchmean", log_target=True,
            ) * TEMPERATURE**2  # fmt: skip
            loss = 0.5 * soft + 0.5 * F.cross_entropy(ours.logits.float(), labels)
            for student_layer, teacher_layer in pairs:
                states = ours.hidden_states[student_layer], theirs.hidden_states[teacher_layer]
                loss = loss + compare(model.projection, *states, inputs["attention_mask"])
            return (loss, ours) if return_outputs else loss

    def compare(projection: nn.Module, ours: Tensor, theirs: Tensor, mask: Tensor) -> Tensor:
        if job["method"] == "patient":
            pulled, target = projection(ours[:, 0]), theirs[:, 0]
            return (F.normalize(pulled.float(), dim=-1) - F.normalize(target.float(), dim=-1)).square().sum(-1).mean()
        squares = (projection(ours).float() - theirs.float()).square().mean(-1) * mask
        return squares.sum() / mask.sum()

    class Counting(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            meter()

    arguments = TrainingArguments(
        output_dir=folder, per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=5e-5, use_cpu=True,
        bf16=job["precision"] == "bf16", save_strategy="no", report_to=[], warmup_steps=0.1, disable_tqdm=True,
        optim="adamw_torch_fused", remove_unused_columns=False,
    )  # fmt: skip
    rows = [
        {**tokenizer(text, truncation=True, max_length=MAX_LENGTH), "labels": label}
        for text, label in zip(texts, labels, strict=True)
    ]
    Distilling(
        model=student, args=arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[Counting()],
    ).train()  # fmt: skip


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
