"""The settings of the distillation methods, one class each. What they do with them: distill/methods/."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

from pydantic import Field, field_validator, model_validator

from .kinds import KINDS
from .spec_base import Part, setting

# A setting reads best in a row or two.
# fmt: off


class SoftTargets(Part):
    """What every distillation method shares: the teacher's softened answer and the true label.

    Attributes:
        token_by_token: whether teacher and student are compared token by token, so that they need one vocabulary.
    """

    token_by_token: ClassVar[bool] = False

    temperature: float = setting(
        2.0, "Temperature", "Softens both answers; 1 leaves them as they are. The soft loss is multiplied by its "
        "square (Hinton et al. 2015).", gt=0, le=100,
    )
    kd_weight: float = setting(0.5, "Weight of the teacher's answer", "Weight of the soft-target loss.", ge=0)
    ce_weight: float = setting(
        0.5, "Weight of the true label", "Weight of the cross-entropy with the label.", ge=0
    )
    temperature_end: float | None = setting(
        None, "Temperature at the end", "The temperature goes in a straight line from its first value to this one. "
        "Left out: it stays.", gt=0, le=100, level="advanced",
    )
    soft_loss: Literal["kl", "mse", "dist"] = setting(
        "kl", "Soft-target loss", "kl: the probabilities (Hinton et al. 2015). mse: the logits themselves, without a "
        "temperature (Kim et al. 2021). dist: how classes and examples relate (Huang et al. 2022), from three classes "
        "on.", level="advanced",
    )
    standardize_logits: bool = setting(
        False, "Standardise logits", "Bring both models' logits to mean 0 and deviation 1 for each example, so that a "
        "small student need not match their size (Sun et al. 2024). From three classes on; with kl.", level="advanced",
    )

    @property
    def asks_before(self) -> bool:
        """Whether a stage reads so little of the teacher that it is asked once, before the training, and kept."""
        return self.kd_weight > 0

    @property
    def asks_along(self) -> bool:
        """Whether a stage reads so much of the teacher that it is asked again in each epoch."""
        return False

    @property
    def answers_begin(self) -> float:
        """The share of the steps before the answers are trained."""
        return 0.0

    def unfit(self, task: str, outputs: int) -> tuple[str, str] | None:
        """Why this form of the soft-target loss doesn't suit a task, and what would; None where it does.

        Args:
            outputs: how many classes there are; 0 for a vocabulary.
        """
        if self.soft_loss == "kl" and not self.standardize_logits:
            return None
        name = "standardize_logits" if self.standardize_logits else f"soft_loss {self.soft_loss}"
        if not KINDS[task].exclusive:
            return (f"{name} suits tasks with one class for each text or word, not {task}.",
                    "Use soft_loss kl, without standardize_logits.")
        if 0 < outputs < 3 and self.soft_loss != "mse":
            return (f"{name} needs three classes or more: with {outputs} it would erase how sure the teacher is.",
                    "Use soft_loss kl or mse, without standardize_logits.")
        return None

    @model_validator(mode="after")
    def _something_to_learn(self) -> SoftTargets:
        if self.kd_weight == 0 and self.ce_weight == 0:
            raise ValueError("kd_weight and ce_weight are both 0: nothing would be learned; raise one of them")
        if self.standardize_logits and self.soft_loss != "kl":
            raise ValueError(f"standardize_logits goes with soft_loss kl, not {self.soft_loss}; choose one of the two")
        return self


LayerMapping = Union[Literal["skip", "last", "uniform", "cut"], list[tuple[int, int]]]


def parse_layer_mapping(value: Any) -> Any:
    """`skip`, `last`, `uniform`, `cut`, or pairs student:teacher as text, "1:2,2:4"; numbers count from 1."""
    if isinstance(value, list | tuple) and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value):
        return value
    if value in ("skip", "last", "uniform", "cut"):
        return value
    pairs = re.findall(r"(\d+):(\d+)", str(value))
    if not pairs or re.sub(r"\d+:\d+|[\s,]", "", str(value)):
        in_yaml = "" if isinstance(value, str) else '; in YAML a single pair wants quotes, "1:2"'
        raise ValueError(
            f"{value!r} is no layer mapping: use skip, last, uniform, cut or student:teacher pairs such as 1:2,2:4"
            f"{in_yaml}"
        )
    return [(int(student), int(teacher)) for student, teacher in pairs]


class LogitMethod(SoftTargets):
    """Imitates the teacher's class probabilities. The cheapest; suits every pair (Hinton et al. 2015)."""

    name: Literal["logit"] = "logit"


class PatientMethod(SoftTargets):
    """Also imitates the [CLS] state of chosen teacher layers. For students cut from deep teachers (Sun et al. 2019)."""

    name: Literal["patient"] = "patient"
    beta: float = setting(
        1.0, "Beta", "Weight of the [CLS]-state loss, in the paper's form: squared differences summed over hidden "
        "units. The paper's reference code averages over units; its beta is the hidden size (768) times larger "
        "for the same pull.", ge=0,
    )
    beta_form: Literal["paper", "reference-code"] = setting(
        "paper", "Form of beta", "Sum over hidden units (paper) or mean (reference code).", level="advanced"
    )
    layer_mapping: LayerMapping = setting(
        "skip", "Layer mapping", "skip, last, cut (each layer imitates the one that it was cut from), or "
        "student:teacher pairs counted from 1, for example 1:2,2:4.",
    )
    _parse = field_validator("layer_mapping", mode="before")(parse_layer_mapping)

    @property
    def asks_before(self) -> bool:
        """Always: for the [CLS] states, whatever the weight of the answers."""
        return True


class TwoStages(SoftTargets):
    """Methods with a stage on the teacher's inside before the stage on its answers."""

    token_by_token: ClassVar[bool] = True

    if TYPE_CHECKING:  # each declares it with words of its own
        intermediate_share: float

    answers_throughout: bool = setting(
        False, "Answers throughout", "Train the answers in the first stage too, beside its own losses: for short "
        "trainings, which the papers' first stage would use up (an addition to the papers).", level="advanced",
    )

    @property
    def answers_begin(self) -> float:
        """The share of the steps before the answers are trained."""
        return 0.0 if self.answers_throughout else self.intermediate_share

    @property
    def asks_along(self) -> bool:
        """In the intermediate stage, where there is one."""
        return self.intermediate_share > 0


class FeatureMethod(TwoStages):
    """Imitates embeddings, hidden states and attention scores, then the answer. Strongest pull, most work
    (TinyBERT, Jiao et al. 2020)."""

    name: Literal["feature"] = "feature"
    temperature: float = setting(1.0, "Temperature", "Softens both answers in the prediction stage.", gt=0, le=100)
    kd_weight: float = setting(1.0, "Weight of the teacher's answer", "Weight of the soft-target loss.", ge=0)
    ce_weight: float = setting(
        0.0, "Weight of the true label", "Weight of the cross-entropy with the label.", ge=0
    )
    embedding_weight: float = setting(1.0, "Embedding weight", "Weight of the embedding loss.", ge=0)
    hidden_weight: float = setting(1.0, "Hidden-state weight", "Weight of the hidden-state losses.", ge=0)
    attention_weight: float = setting(1.0, "Attention weight", "Weight of the attention-score losses.", ge=0)
    layer_mapping: LayerMapping = setting(
        "uniform", "Layer mapping", "uniform (student m to teacher m*N/M), last, cut (each layer imitates the one that "
        "it was cut from), or pairs counted from 1.",
    )
    intermediate_share: float = setting(
        0.5, "Intermediate stage", "Share of the epochs for embeddings, hidden states and attention; the rest is "
        "the prediction stage.", ge=0, lt=1,
    )
    _parse = field_validator("layer_mapping", mode="before")(parse_layer_mapping)


class RelationsMethod(TwoStages):
    """Imitates how the words of a text relate to each other in one teacher layer, then the answer. Needs neither equal
    widths nor equal heads (MiniLMv2, Wang et al. 2021)."""

    name: Literal["relations"] = "relations"
    relation_heads: int | None = setting(
        None, "Relation heads", "Into how many heads queries, keys and values are split anew; must divide the width of "
        "both models. Left out: the most that do, up to 48 (64 for teachers wider than 768).", ge=1, level="advanced",
    )
    teacher_layer: int | None = setting(
        None, "Teacher layer", "The teacher layer, counted from 1, that the student's last layer learns from. Left "
        "out: the last; 21 of 24.", ge=1, level="advanced",
    )
    relation_weight: float = setting(
        1.0, "Weight of the relations", "Weight of each of the three losses. The paper trains them alone; beside "
        "answers (answers_throughout) much less suits, such as 0.05.", gt=0, level="advanced",
    )
    intermediate_share: float = setting(
        0.5, "Intermediate stage", "Share of the epochs for the relations; the rest is for the answers.", ge=0, lt=1
    )


class TripleMethod(SoftTargets):
    """Imitates the answers and the direction of the last hidden states, beside the task's own loss. For distilling a
    language model on plain text, with a student cut from the teacher (DistilBERT, Sanh et al. 2019)."""

    token_by_token: ClassVar[bool] = True

    name: Literal["triple"] = "triple"
    kd_weight: float = setting(5.0, "Weight of the teacher's answer", "Weight of the soft-target loss.", ge=0)
    ce_weight: float = setting(
        2.0, "Weight of the true label", "Weight of the cross-entropy with the label (or the hidden word).", ge=0
    )
    cosine_weight: float = setting(1.0, "Cosine weight", "Weight of the hidden states' direction.", ge=0)

    @property
    def asks_before(self) -> bool:
        """Never: answers are read with the hidden states, as the training goes."""
        return False

    @property
    def asks_along(self) -> bool:
        """Always: its hidden states are too much to keep."""
        return True


Method = Annotated[
    Union[LogitMethod, PatientMethod, FeatureMethod, RelationsMethod, TripleMethod], Field(discriminator="name")
]
METHODS: dict[str, type[SoftTargets]] = {
    "logit": LogitMethod, "patient": PatientMethod, "feature": FeatureMethod, "relations": RelationsMethod,
    "triple": TripleMethod,
}  # fmt: skip
