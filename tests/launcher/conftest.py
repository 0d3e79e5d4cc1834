"""One engine for all the tests of the launcher, with the checkout as a git remote to install from."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import RECOMMENDED, ROOT, App, Engine, commit, git, publish, small_catalog
from qtinker import catalog
from servers import Storage

CHECKPOINT = ROOT / "tests" / "fixtures" / "tf" / "pretraining"


@pytest.fixture(scope="session")
def storage() -> Iterator[Storage]:
    """A real local server for the recommended models."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(CHECKPOINT.iterdir()):
            zipped.writestr(path.name, path.read_bytes())
    with Storage() as server:
        for name in RECOMMENDED:
            url = catalog.catalog()[name].url
            assert url
            server.put(url.removeprefix("https://storage.googleapis.com"), buffer.getvalue(), google=True)
        yield server


@pytest.fixture(scope="session")
def engine(tmp_path_factory) -> Iterator[Engine]:
    with Engine(tmp_path_factory.mktemp("pinokio")) as running:
        yield running


@pytest.fixture(scope="session")
def remote(tmp_path_factory) -> Path:
    """Where the app is cloned from: the checkout as it is, with a small catalog."""
    folder = publish(tmp_path_factory.mktemp("remote") / "qtinker")
    small_catalog(folder, CHECKPOINT)
    commit(folder, "a small catalog")
    return folder


def clone(engine: Engine, remote: Path, name: str) -> App:
    git("clone", "-q", remote, engine.pinokio / "api" / name, cwd=remote)
    return App(engine, name)


@pytest.fixture(scope="session")
def app(engine, remote) -> App:
    return clone(engine, remote, "qtinker.git")


@pytest.fixture(scope="session")
def other(engine, remote) -> App:
    """A second clone, for what is only played through."""
    return clone(engine, remote, "other.git")
