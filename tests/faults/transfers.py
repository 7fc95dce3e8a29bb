"""Downloads that go wrong: what was left of an interrupted one is damaged, or the server answers wrongly."""

from __future__ import annotations

from pathlib import Path

from tests.faults import damage
from tests.faults.case import UNNAMED, Case, Verdict
from tests.faults.servers import Server, free_port, kill_after, wrong_answers

# study → address → bytes after which the download is interrupted, more than are buffered
FIRST_BYTES = {"likeness": 300_000, "listeners": 9_000}
DAMAGES = (damage.flip_bit, damage.zero, damage.scramble, damage.truncate, damage.append, damage.insert)


def _raw_path(case: Case, address: str) -> Path:
    name = address.rpartition("/")[2]
    (path,) = [path for path in case.find("data/raw/**/*.*") if path.name == name]
    return path


def _forget(case: Case, path: Path, digest_too: bool) -> None:
    """As if a file had not been fetched yet, or had been lost since."""
    path.unlink()
    digest = path.with_name(f"{path.name}.sha256")
    if digest_too:
        digest.unlink(missing_ok=True)
    case.names.add(path.name)


def damaged_part(case: Case) -> Verdict:
    """A fetch is killed amid a file; its ``.part`` or the note beside it is damaged; fetch runs again."""
    case.take(sorted(FIRST_BYTES)[case.place % 2])
    n_bytes = FIRST_BYTES[case.study.name]
    address = case.draw(sorted(one for one, body in case.study.served.items() if len(body) > n_bytes))
    path, port = _raw_path(case, address), free_port()
    _forget(case, path, digest_too=bool(case.rng.random() < 0.5))

    def dying(server: Server) -> None:
        server.wrong[address] = kill_after(n_bytes)

    ran = case.run(("fetch",), server=dying, port=port)
    part = path.with_name(f"{path.name}.part")
    if ran.status != -9 or not part.is_file() or part.stat().st_size == 0:
        return Verdict(UNNAMED, part.name, f"the download was not interrupted: status {ran.status} {ran.last_line}")
    victim = part if case.rng.random() < 0.7 else path.with_name(f"{path.name}.part.json")
    how = DAMAGES[int(case.rng.integers(len(DAMAGES)))](victim, case.rng)
    to_scores = case.study.stages_from("fetch")[: -len(("map", "report"))]
    return case.judge(case.run(to_scores, port=port), "part or note", f"{case.study.name}: {victim.name}: {how}")


def wrong_answer(case: Case) -> Verdict:
    """A file that was lost is fetched again, and the server answers wrongly: each time, or the first time."""
    case.take(sorted(FIRST_BYTES)[case.place % 2])
    address = case.draw(sorted(case.study.served))
    _forget(case, _raw_path(case, address), digest_too=False)
    body = case.study.served[address]
    name = list(wrong_answers(body))[case.place // 2 % len(wrong_answers(body))]
    always = bool(case.rng.random() < 0.7)
    case.names |= {address.rpartition("/")[2]}

    def lie(server: Server) -> None:
        told = wrong_answers(body)[name]

        def answer(handler, whole):  # type: ignore[no-untyped-def]
            if not always:
                del server.wrong[address]
            told(handler, whole)

        server.wrong[address] = answer

    to_scores = case.study.stages_from("fetch")[: -len(("map", "report"))]
    how = f"{case.study.name}: {address}: {name}, {'always' if always else 'the first time'}"
    return case.judge(case.run(to_scores, server=lie), f"answer: {name}", how)
