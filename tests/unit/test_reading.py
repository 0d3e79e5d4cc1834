"""What a run says of the texts that it reads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from qtinker.reading import tell_losses


class Cut(list):
    """Ten texts, of which nine were too long."""

    form, truncated = "texts", 9


@pytest.mark.parametrize("asked, advice", [(64, "(--max-length) reads more"), (128, "Models of more positions")])
def test_a_greater_longest_length_is_advised_only_where_the_models_did_not_limit_it(asked, advice):
    said = []
    work = SimpleNamespace(
        max_length=64, spec=SimpleNamespace(data=SimpleNamespace(max_length=asked)),
        say=lambda text, level: said.append(text),
    )  # fmt: skip
    tell_losses(work, None, Cut(range(10)))
    [text] = said
    assert advice in text
