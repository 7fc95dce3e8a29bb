"""The code version of a stage: prose does not count, code and what it imports do."""

import pytest

from pipeline.core import code_version as module

SOURCES = {
    "__init__.py": "",
    "low.py": 'def add(a, b):\n    """Add."""\n    return a + b\n',
    "high.py": "from pipeline.low import add\n\n\ndef twice(a):\n    return add(a, a)\n",
    "other.py": "VALUE = 1\n",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    folder = tmp_path / "pipeline"
    folder.mkdir()
    for name, text in SOURCES.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "own_memo", lambda: None)
    module._file_of.cache_clear()

    def version(*modules):
        module._parsed.cache_clear()
        module.code_version.cache_clear()
        return module.code_version(*modules)

    yield folder, version
    module._file_of.cache_clear()
    module._parsed.cache_clear()
    module.code_version.cache_clear()


def test_prose_does_not_count(tree):
    folder, version = tree
    before = version("pipeline.high")
    (folder / "low.py").write_text(
        '# a comment\ndef add(a, b):\n    """Add two numbers, in other words."""\n    return a + b\n'
    )
    assert version("pipeline.high") == before


def test_imported_code_counts_and_other_code_does_not(tree):
    folder, version = tree
    before = version("pipeline.high")
    (folder / "other.py").write_text("VALUE = 2\n")
    assert version("pipeline.high") == before
    (folder / "low.py").write_text("def add(a, b):\n    return a - b\n")
    assert version("pipeline.high") != before
