"""Events for TensorBoard, where it is installed; nothing where it is not."""

import importlib.util
import sys
import types

import pytest

from pipeline.training.ranks import Ranks
from pipeline.training.trainer import CurveLog

ROW = {"step": 7, "loss": 0.5, "accuracy": 0.25}


class Writer:
    """What torch's writer is asked for."""

    def __init__(self, folder):
        self.folder, self.told, self.closed = folder, [], False
        Writer.last = self

    def add_scalar(self, name, value, step):
        self.told.append((name, value, step))

    def close(self):
        self.closed = True


@pytest.fixture
def installed(monkeypatch):
    """A TensorBoard."""
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if name == "tensorboard" else found(name))
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    Writer.last = None


def test_every_column_is_told_at_its_step(tmp_path, installed):
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "of an interrupted run").touch()
    with CurveLog(tmp_path / "events", Ranks()) as log:
        log.add(ROW)
    assert Writer.last.told == [("loss", 0.5, 7), ("accuracy", 0.25, 7)] and Writer.last.closed
    assert not (tmp_path / "events" / "of an interrupted run").exists()


def test_other_processes_tell_nothing(tmp_path, installed):
    with CurveLog(tmp_path / "events", Ranks(1, 2)) as log:
        log.add(ROW)
    assert Writer.last is None


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with CurveLog(tmp_path / "events", Ranks()) as log:
        log.add(ROW)
    assert not (tmp_path / "events").exists()
