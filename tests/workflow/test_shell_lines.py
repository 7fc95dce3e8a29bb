"""Shell lines of the rules hand over every value as one argument, whatever it holds."""

import re
from pathlib import Path

import pytest
from snakemake.utils import format as formatted

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted([*(ROOT / "workflows").rglob("*.smk"), *ROOT.rglob("workflows/Snakefile"), ROOT / "Snakefile"])
STRING = re.compile(r'^\s*[rf]?"(.*)"\s*$')


def shell_lines(text: str) -> list[str]:
    """The strings below every ``shell:``, or beside it."""
    lines, inside = [], False
    for line in text.splitlines():
        begins = re.match(r"^\s*shell:(.*)$", line)
        if begins or inside:
            found = STRING.match(begins[1] if begins else line)
            inside = bool(begins) or bool(found)
            if found:
                lines.append(found[1])
    return lines


def unquoted(lines: list[str]) -> list[str]:
    """Values that the shell would read, and quotes put around one by hand."""
    values = [value for line in lines for value in re.findall(r"\{[^{}]*\}", line) if not value.endswith(":q}")]
    return values + [line for line in lines if "'" in line or '"' in line or "`" in line or "$" in line]


def test_no_value_stands_in_a_shell_line_unquoted():
    found = {path.name: shell_lines(path.read_text(encoding="utf-8")) for path in RULES}
    assert sum(map(len, found.values())) == 14  # one of every rule that runs a stage
    assert {name: unquoted(lines) for name, lines in found.items() if unquoted(lines)} == {}
    texts = "".join(path.read_text(encoding="utf-8") for path in RULES)
    assert len(re.findall(r"^\s*shell:", texts, re.MULTILINE)) == 14
    assert not re.findall(
        r"^\s*(run|script|notebook|wrapper):|\bshell\(|shlex|os\.system|subprocess", texts, re.MULTILINE
    )


@pytest.mark.parametrize(
    "line",
    [
        "python {params.flags}",
        "python --group '{wildcards.group:q}'",
        "python --threads {threads}",
        "python --log {log:u}",
        "python $(touch PWNED)",
    ],
)
def test_the_search_finds_what_it_looks_for(line):
    assert unquoted(shell_lines(f'rule a:\n    shell:\n        "{line}"\n'))
    assert unquoted(shell_lines(f'rule a:\n    shell: "{line}"\n'))


def test_a_list_is_quoted_one_by_one():
    flags = ["--study=a b.yaml", "--mirror=/x'$(touch PWNED)'", "--limit=3"]
    assert formatted("run {flags:q} {threads:q}", flags=flags, threads=2) == (
        """run '--study=a b.yaml' '--mirror=/x'"'"'$(touch PWNED)'"'"'' --limit=3 2"""
    )
