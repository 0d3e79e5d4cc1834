"""RunSpec: what is to be done, as plain data.

The one place where a setting is declared. A field's title, description, range and default become the
command line's help, the form on the page, the key in the YAML file and the row in docs/settings.md.
Free of torch, so that every border can import it. `option` in a field's extra is its command-line flag
(derived from the field's name where absent); `level` is where the page shows it (basic or advanced).
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal, get_args

import yaml
from pydantic import Field, field_validator, model_validator

from .spec_base import Part, Whole, setting
from .spec_methods import METHODS, FeatureMethod, LogitMethod, Method, PatientMethod

SPEC_VERSION: Literal[1] = 1
DEVICES = r"^(auto|cpu|mps|cuda(:\d+)?)$"
SHAPE = re.compile(r"^L-(?P<layers>\d+)_H-(?P<hidden>\d+)_A-(?P<heads>\d+)$")


# A setting reads best in a row or two.
# fmt: off


class TeacherSpec(Part):
    """The big model that is imitated."""

    model: str = setting(title="Teacher", help="Catalog name, registry name or folder.", option="--teacher")
    finetune: bool = setting(
        False, "Finetune the teacher first", "Train the teacher's head on the data where it is untrained.",
        option="--finetune-teacher",
    )
    epochs: float = setting(
        3.0, "Teacher epochs", "Passes over the data when the teacher is finetuned.",
        option="--teacher-epochs", gt=0, le=1000, level="advanced",
    )
    learning_rate: float = setting(
        5e-5, "Teacher learning rate", "Peak learning rate when the teacher is finetuned.",
        option="--teacher-learning-rate", gt=0, le=1, level="advanced",
    )
    also: list[str] | None = setting(
        None, "Further teachers", "Finetuned models for the same task, comma separated. The student learns from the "
        "average of all teachers' answers; states and attention are the first one's.", option="--also-teachers",
        level="advanced",
    )
    weights: list[float] | None = setting(
        None, "Teachers' weights", "Of the teachers' answers, in their order, comma separated: 2,1,1. Left out: all "
        "alike.", option="--teacher-weights", level="advanced",
    )

    cache_gb: float | None = setting(
        None, "Room for the teacher's states", "Gigabytes of disk in which the teacher's states of every token may be "
        "kept, for feature, relations and triple, so that it is asked once instead of in each epoch. Left out: only "
        "answers and [CLS] states are kept, which are small.", option="--teacher-cache-gb", gt=0, le=100_000,
        level="advanced",
    )

    @field_validator("also", "weights", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _weights_fit(self) -> TeacherSpec:
        count = 1 + len(self.also or [])
        if self.weights is not None and (len(self.weights) != count or min(self.weights) < 0 or not sum(self.weights)):
            raise ValueError(f"give {count} weights, one for each teacher, none below 0 and not all of them 0")
        return self


class StudentSpec(Part):
    """The small model that learns: a checkpoint, layers cut from one, or a shape with random weights."""

    model: str | None = setting(
        None, "Student", "Catalog name, registry name or folder. With layers: the model they are cut from "
        "(the teacher when left out).", option="--student",
    )
    layers: list[int] | None = setting(
        None, "Layers to keep", "Build the student from these layers, counted from 0: 0,2,4.",
        option="--student-layers",
    )
    shape: str | None = setting(
        None, "Shape", "A student with random weights: L-2_H-128_A-2 (layers, hidden units, heads); it uses the "
        "teacher's vocabulary.", option="--student-shape",
    )
    architecture: Literal["same", "distilbert"] = setting(
        "same", "Architecture", "What the layers become: a model as their source, or a DistilBERT, which is a BERT "
        "without embeddings for first and second text.", option="--student-architecture", level="advanced",
    )

    @field_validator("layers", mode="before")
    @classmethod
    def _split_layers(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("layers")
    @classmethod
    def _layers_in_order(cls, value: list[int] | None) -> list[int] | None:
        if value is not None and (not value or sorted(set(value)) != value or value[0] < 0):
            raise ValueError("layers are whole numbers from 0 on, ascending, each once: for example 0,2,4")
        return value

    @field_validator("shape")
    @classmethod
    def _shape_form(cls, value: str | None) -> str | None:
        if value is None:
            return value
        match = SHAPE.match(value)
        if not match:
            raise ValueError("write the shape as L-2_H-128_A-2: layers, hidden units, heads")
        numbers = {key: int(number) for key, number in match.groupdict().items()}
        if min(numbers.values()) < 1 or numbers["hidden"] % numbers["heads"]:
            raise ValueError("hidden units must be a multiple of the heads, and none of the three zero")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> StudentSpec:
        if self.shape and (self.model or self.layers):
            raise ValueError("give either a shape or a model (with or without layers), not both")
        if self.architecture != "same" and not self.layers:
            raise ValueError(f"a {self.architecture} is made of layers: say which (0,2,4), or leave architecture out")
        return self


class DataSpec(Part):
    """The examples: where they are and how to read them. What is left out is found out and reported."""

    train: str = setting(
        title="Data", help="CSV, TSV, JSONL, Parquet or text file, a Hub data set id, or 'sample' (bundled).",
        option="--data",
    )
    eval: str | None = setting(
        None, "Evaluation data", "A file in the same form; left out: a stratified part of the data, split off by seed.",
        option="--eval-data",
    )
    text_column: str | None = setting(None, "Text column", "The column with the text; found by itself if left out.")
    text_pair_column: str | None = setting(
        None, "Second text column", "The second text, for tasks on pairs of sentences."
    )
    label_column: str | None = setting(
        None, "Label column", "The column with the label; found by itself if left out. For several labels an example "
        "also columns of 0 and 1, separated by commas."
    )
    unlabelled: list[str] | None = setting(
        None, "Unlabelled data", "Files of further texts without labels, comma separated: the student learns them from "
        "the teacher's answers alone.",
    )
    augment_model: str | None = setting(
        None, "Model for variants", "A masked language model (catalog name, registry name or folder), such as an "
        "untouched BERT: it replaces words of the training texts, and the student learns the variants from the "
        "teacher's answers alone (Jiao et al. 2020). Left out: no variants.",
    )
    augment_variants: int = setting(
        10, "Variants", "How many variants of each training text the model makes.", ge=1, le=1000, level="advanced"
    )
    augment_share: float = setting(
        0.4, "Replaced share", "Probability that a word of a variant is another.", gt=0, le=1, level="advanced"
    )
    augment_candidates: int = setting(
        15, "Candidates", "From how many of the likeliest words one is drawn.", ge=1, le=1000, level="advanced"
    )
    new_pairs: int = setting(
        0, "New pairs", "Of pairs of texts: so many new pairs for each first text, with second texts that share a word "
        "with it; the student learns them from the teacher's answers alone (Thakur et al. 2021). Other data gets none.",
        ge=0, le=1000, level="advanced",
    )
    eval_fraction: float = setting(
        0.1, "Evaluation share", "Share split off when no evaluation data is given.", gt=0, lt=1, level="advanced"
    )
    max_length: int = setting(
        128, "Longest text", "Tokens a text is cut to, special tokens included.", ge=8, le=8192, level="advanced"
    )
    stride: int | None = setting(
        None, "Stride", "Tokens that two windows of a long context share, in question answering; left out: a third of "
        "the longest text.", ge=1, le=8192, level="advanced"
    )
    max_examples: int | None = setting(
        None, "At most", "Use only so many training examples, chosen by seed.", ge=2, level="advanced"
    )

    @field_validator("unlabelled", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()] or None
        return [value] if hasattr(value, "to_csv") else value  # a table is one thing, not the names of its columns


class TaskSpec(Part):
    """What the model's output means."""

    type: Literal[
        "auto", "classification", "multi-label", "regression", "token-classification", "question-answering", "masked-lm"
    ] = setting("auto", "Task", "auto takes a trained teacher's, or finds it from the data.", option="--task")
    metric: Literal[
        "auto", "accuracy", "macro_f1", "micro_f1", "subset_accuracy", "pearson", "spearman", "f1", "precision",
        "recall", "exact_match", "masked_accuracy", "log_likelihood",
    ] = setting(
        "auto", "Metric", "What chooses the best checkpoint and gives the retention. auto: the task's first.",
        level="advanced",
    )
    class_weights: Literal["none", "balanced"] = setting(
        "none", "Class weights", "balanced: rare classes count more in the loss against the true labels.",
        level="advanced",
    )
    mask_share: float = setting(
        0.15, "Masked share", "Share of the words that are hidden in masked language modelling.", gt=0, lt=1,
        level="advanced",
    )


class TrainingSpec(Part):
    """How the student is trained."""

    epochs: float = setting(3.0, "Epochs", "Passes over the data.", gt=0, le=10_000)
    learning_rate: float = setting(
        5e-5, "Learning rate", "Peak, after warm-up.", option="--learning-rate,--lr", gt=0, le=1
    )
    batch_size: int = setting(32, "Batch size", "Examples an optimizer step.", ge=1, le=65_536)
    gradient_accumulation: int = setting(
        1, "Gradient accumulation", "Split each batch into so many micro-batches, to save memory.", ge=1,
        level="advanced",
    )
    weight_decay: float = setting(0.01, "Weight decay", "Of matrices; not of biases and LayerNorm.", ge=0, le=1,
                                  level="advanced")
    warmup_ratio: float = setting(0.1, "Warm-up", "Share of the steps in which the learning rate rises.", ge=0, lt=1,
                                  level="advanced")
    max_grad_norm: float = setting(1.0, "Gradient clipping", "Largest gradient norm; 0 turns clipping off.", ge=0,
                                   level="advanced")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto", "Precision", "auto takes what this processor does well.", level="advanced"
    )
    attention: Literal["auto", "sdpa", "eager"] = setting(
        "auto", "Attention", "How attention is computed. auto takes what was measured to be the faster in a long "
        "training; a name gives the same numbers on every machine.", level="advanced",
    )
    device: str = setting("auto", "Device", "auto, cpu, cuda, cuda:1, mps.", level="advanced", pattern=DEVICES)
    seed: int = setting(42, "Seed", "Same seed, same result.", ge=0, lt=2**32)
    eval_every: int | None = setting(
        None, "Evaluate every", "Steps between evaluations; left out: once an epoch.", ge=1, level="advanced"
    )
    save_every: int | None = setting(
        None, "Save every", "Steps between saved states to resume from; left out: about once a minute and at each "
        "evaluation.", ge=1, level="advanced"
    )
    early_stopping: int | None = setting(
        None, "Early stopping", "Stop after so many evaluations without improvement, those of a first stage not "
        "counted.", ge=1, level="advanced",
    )
    max_steps: int | None = setting(None, "Most steps", "Stop after so many optimizer steps.", ge=1, level="advanced")
    quantization_aware: Literal["none", "int4", "int8"] = setting(
        "none", "Train for fewer bits", "Round the weights in each step as INT4 (or INT8) will, so that the quantized "
        "model loses less.", level="advanced",
    )
    threads: int | None = setting(
        None, "Threads", "Processor threads; left out: all cores.", ge=1, le=4096, level="advanced"
    )


Scheme = Literal[
    "int8-dynamic", "int4-weight-only", "mixed", "int8-weight-only", "int8-static", "nf4", "fp8", "bf16", "fp16"
]
Engine = Literal["auto", "torchao", "compressed-tensors", "onnxruntime", "openvino"]


class QuantizeSpec(Part):
    """One quantized version of the result."""

    scheme: Scheme = setting(title="Scheme", help=f"One of: {', '.join(get_args(Scheme))}.", option="--scheme")
    max_loss: float = setting(
        0.5, "Most that may be lost", "For mixed: points of the metric that may be lost on the evaluation data.",
        ge=0, le=100,
    )
    engine: Engine = setting(
        "auto", "Engine", "What makes it: auto takes what is fastest here; onnxruntime makes an ONNX file."
    )


class RunSpec(Whole):
    """Everything that one run does: finetune, distil, compare with a control, quantize, measure.

    Without a teacher the student is simply finetuned on the labels (the `finetune` verb).
    """

    unions: ClassVar = {"method": METHODS}

    version: Literal[1] = SPEC_VERSION
    name: str | None = setting(
        None, "Name", "Name of the resulting model in the registry; left out: made from the parts.",
        option="--name", max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
    )
    teacher: TeacherSpec | None = None
    student: StudentSpec = Field(default_factory=StudentSpec)
    data: DataSpec
    task: TaskSpec = Field(default_factory=TaskSpec)
    method: Method = Field(default_factory=LogitMethod)
    training: TrainingSpec = Field(default_factory=TrainingSpec)
    control: bool = setting(
        False, "Control", "Also train the same student, same steps, without the teacher, to show what distilling gave."
    )
    quantize: list[QuantizeSpec] = Field(default_factory=list, title="Quantize")

    @model_validator(mode="after")
    def _whole(self) -> RunSpec:
        if self.teacher is None and not (self.student.model or self.student.shape):
            raise ValueError("there is nothing to train: name a student, student.model (--student)")
        if self.teacher is not None and not (self.student.model or self.student.layers or self.student.shape):
            raise ValueError("name a student: student.model (--student), a model; student.layers (--student-layers), "
                             "the teacher's layers to keep; or student.shape (--student-shape)")  # fmt: skip
        if isinstance(self.method, PatientMethod | FeatureMethod) and self.method.layer_mapping == "cut":
            self.method = self.method.model_copy(update={"layer_mapping": self._pairs_as_cut()})
        return self

    def _pairs_as_cut(self) -> list[tuple[int, int]]:
        """Each student layer with the teacher's layer that it began as; Patient KD leaves the last one out."""
        if self.student.model or not self.student.layers:
            raise ValueError("the layer mapping 'cut' is for students cut from their teacher: give student.layers "
                             "(--student-layers) without a student model, or another mapping")  # fmt: skip
        pairs = [(place, layer + 1) for place, layer in enumerate(self.student.layers, 1)]
        if isinstance(self.method, PatientMethod) and len(pairs) == 1:
            raise ValueError("the layer mapping 'cut' leaves the last layer out, and the student has no other: use "
                             "pairs such as 1:2, or the method 'logit'")  # fmt: skip
        return pairs[:-1] if isinstance(self.method, PatientMethod) else pairs

    def to_yaml(self, *, full: bool = False, in_ascii: bool = False) -> str:
        """YAML that `load` reads back to an equal spec: defaults too if `full`, in escaped characters if `in_ascii`."""
        data = self.model_dump(mode="json", exclude_none=True, exclude_defaults=not full)
        data = {"version": self.version, **data}
        if self.teacher is not None:
            data["method"] = {"name": self.method.name, **data.get("method", {})}
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=not in_ascii)
