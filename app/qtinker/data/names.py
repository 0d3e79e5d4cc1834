"""Names that columns of text data go by, for finding out which is which."""

from __future__ import annotations

PAIR_NAMES: tuple[tuple[str, str], ...] = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("texta", "textb"),
    ("text_1", "text_2"),
    ("sentence_a", "sentence_b"),
    ("sentence_1", "sentence_2"),
    ("sent1", "sent2"),
    ("s1", "s2"),
    ("q1", "q2"),
    ("#1 string", "#2 string"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "passage"),
    ("query", "document"),
    ("question", "answer"),
    ("text", "text_pair"),
    ("text", "pair"),
)
"""First and second text of a pair, the surest first."""

TEXT_NAMES: tuple[str, ...] = (
    "text", "texts", "sentence", "sentences", "review", "content", "utterance", "query", "question", "tweet",
    "message", "comment", "body", "document", "article", "review_text", "reviewtext", "review_body", "comment_text",
    "description", "headline", "title", "phrase", "input", "sms", "post", "data", "verse", "transcript",
)  # fmt: skip
"""One text an example."""

LABEL_NAMES: tuple[str, ...] = (
    "label", "labels", "category", "class", "target", "intent", "sentiment", "topic", "gold_label", "polarity",
    "emotion", "is_duplicate", "duplicate", "label_text", "label_name", "categories", "classes", "fine_label",
    "coarse_label", "quality", "score", "similarity", "stars", "rating", "overall", "y", "answer", "output", "tag",
    "type", "topics", "intents", "emotions", "tags",
)  # fmt: skip
"""The label, the surest first."""

OTHER_NAMES: frozenset[str] = frozenset({
    "index", "idx", "id", "guid", "uid", "uuid", "pairid", "pair_id", "promptid", "qid", "qid1", "qid2", "key", "row",
    "filename", "file", "path", "url", "link", "year", "date", "time", "timestamp", "created", "created_at", "genre",
    "old_index", "source", "source1", "source2", "split", "fold", "set", "unnamed: 0", "user", "user_id", "author",
    "name", "lang", "language", "annotator", "worker", "#1 id", "#2 id", "column 1 (index)",
})  # fmt: skip
"""Never text nor label unless the user says so."""

KNOWN_NAMES: frozenset[str] = (
    frozenset(TEXT_NAMES) | frozenset(LABEL_NAMES) | OTHER_NAMES | {name for pair in PAIR_NAMES for name in pair}
)
