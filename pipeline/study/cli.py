"""The command line: one thin subcommand per stage, and lists of what there is.

Exit status: 0 done; 1 a failure the user can mend, said in one line on stderr; 2 wrong usage; 3 a defect of
layermap itself, also said in one line. The traceback of a failed stage goes to ``LOG.traceback``.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline import __version__
from pipeline.core.errors import LayermapError, UnknownName
from pipeline.study.flags import Flag, flags_of

STAGES = {
    "catalogue": "list the groups, recordings, stimuli and files of a study's datasets",
    "fetch": "fetch (or simulate) the files and the weights that a study needs, checking every byte",
    "prepare": "turn raw files into labelled stimuli and recordings",
    "activate": "run the networks on the stimuli, layer by layer",
    "encode": "fit ridge encoding models and score held-out predictions",
    "compare": "compare similarity structures of layers and recordings",
    "identify": "simulate responses from every layer, and see which layer and network are named for them",
    "map": "make the layer-by-region table with intervals, ceilings and nested best layers",
    "report": "write the HTML page",
}
LISTS = {
    "studies": "list the studies in workflows/studies",
    "recipes": "list the recipes in workflows/recipes, by which networks are trained",
    "models": "list the networks and baselines",
    "layers": "list the layers of one model",
}
ONCE = {
    "pin": "look up networks of the Hugging Face hub once, and write down revision and digests of their files",
    "power": "before anything is recorded: how much of it would tell layers, or a network and its twin, apart",
    "train": "train a network by a recipe, probe its layers, and write its card",
    "ship": "put a finished training into the package, so that its network comes with layermap",
}
POWER_FLAGS = ("study", "limit", "device", "memory_budget_mb")
"""Nothing is measured, so that nothing else applies."""
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Set before the library is imported, which asks once: nothing is downloaded while a network is built or runs."""
REPORT_BUGS = "this is a defect of layermap: please report it with the traceback"


class _Parser(argparse.ArgumentParser):
    """Usage errors in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _at_least(lowest: int) -> Callable[[str], int]:
    """An argparse type: a whole number from ``lowest`` on."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < lowest:
            raise argparse.ArgumentTypeError(f"{value} is below {lowest}")
        return value

    return whole_number


def _positive(text: str) -> float:
    """An argparse type: a finite number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _share(text: str) -> float:
    """An argparse type: above 0, and at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return value


def _autocorrelation(text: str) -> float:
    """An argparse type."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="layermap", description=__doc__.splitlines()[0], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"layermap {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="STAGE", parser_class=_Parser)
    for stage, text in STAGES.items():
        command = commands.add_parser(stage, help=text, description=text)
        for flag in flags_of(stage):
            _add_flag(command, flag)
        _add_common(command)
        if stage in ("prepare", "activate"):
            command.add_argument("--stimulus", help="only this stimulus")
        if stage == "prepare":
            command.add_argument("--recording", help="only this recording")
        if stage == "activate":
            command.add_argument(
                "--batch-size", type=_at_least(1), help="samples per forward pass (default: by free memory)"
            )
        if stage in ("fetch", "activate", "encode", "compare"):
            command.add_argument("--model", help="only this model")
        if stage == "fetch":
            command.add_argument(
                "--what", choices=["all", "recordings", "weights"], default="all", help="what to fetch"
            )
        if stage in ("encode", "compare", "identify"):
            command.add_argument("--group", help="only this group")
        if stage == "encode":
            command.add_argument(
                "--estimate",
                action="store_true",
                help="only say what the run will cost on this machine: operations, bytes, time and peak memory",
            )
    for name, text in LISTS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "layers":
            command.add_argument("model", help="a model's name; see: layermap models")
            command.add_argument("--study", help="the study file under whose networks: it is")
            command.add_argument(
                "--build",
                action="store_true",
                help="run the code that the study names, to list layers of its own network one by one, and all modules",
            )
    for name, add in (("pin", _add_pin), ("power", _add_power), ("train", _add_train), ("ship", _add_ship)):
        add(commands.add_parser(name, help=ONCE[name], description=ONCE[name]))
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    """What every command takes that reads a study."""
    command.add_argument("--analysis", help="only this analysis of the study")
    _add_output(command)


def _add_output(command: argparse.ArgumentParser) -> None:
    """How many threads, and where messages go."""
    command.add_argument("--threads", type=int, help="threads of numerical libraries")
    command.add_argument("--log", type=Path, help="also write messages here; the traceback of a failure goes beside it")


def _add_flag(command: argparse.ArgumentParser, flag: Flag) -> None:
    command.add_argument(
        flag.option,
        default=flag.default,
        type=str if flag.at_least is None else _at_least(flag.at_least),
        choices=flag.choices or None,
        metavar=flag.metavar,
        help=flag.help,
    )


def _add_pin(command: argparse.ArgumentParser) -> None:
    command.add_argument("names", nargs="+", metavar="NAME", help="facebook/dinov2-base, or a model with such a name")
    command.add_argument("--revision", default="main", help="branch, tag or commit (default: main)")
    command.add_argument("--mirror", help="folder or http(s) prefix that is asked before the hub")


def _add_power(command: argparse.ArgumentParser) -> None:
    for flag in flags_of("power"):
        if flag.name in POWER_FLAGS:
            _add_flag(command, flag)
        else:
            command.set_defaults(**{flag.name: flag.default})
    _add_common(command)
    command.add_argument("--group", help="whose stimuli are shown (default: the first of the catalogue)")
    size = command.add_mutually_exclusive_group()
    parts = "(default: a quarter, half and all of the study's stimuli)"
    size.add_argument("--minutes", type=_positive, nargs="+", help=f"of stimuli in time {parts}")
    size.add_argument("--items", type=_at_least(1), nargs="+", help=f"how many pictures or sounds {parts}")
    command.add_argument("--repeats", type=_at_least(1), nargs="+", default=[1], help="of each stimulus (default: 1)")
    command.add_argument(
        "--subjects",
        type=_at_least(1),
        nargs="+",
        default=[1, 8, 20],
        help="whose responses are averaged (default: 1 8 20)",
    )
    command.add_argument(
        "--share",
        type=_share,
        default=0.05,
        help="of the variance of one subject's response to one repeat that is the layer's (default: 0.05)",
    )
    command.add_argument(
        "--interval-s", type=_positive, default=2.0, help="between samples of stimuli in time, in s (default: 2)"
    )
    command.add_argument(
        "--autocorrelation",
        type=_autocorrelation,
        default=0.0,
        help="of the noise of neighbouring samples in time (default: 0)",
    )
    command.add_argument("--targets", type=_at_least(1), default=20, help="cells or voxels of the region (default: 20)")
    command.add_argument("--n", type=_at_least(2), default=20, help="data sets from each layer (default: 20)")
    command.add_argument("--seed", type=_at_least(0), default=0, help="of read-outs, noise and items (default: 0)")
    command.add_argument("--output", type=Path, help="the table, .csv (default: reports/STUDY/power.csv)")


def _add_train(command: argparse.ArgumentParser) -> None:
    command.add_argument("--recipe", required=True, help="a name in workflows/recipes or a path ending in .yaml")
    what = command.add_mutually_exclusive_group()
    what.add_argument("--seed", type=_at_least(0), help="train this seed only (default: the recipe's, then the page)")
    what.add_argument("--page", action="store_true", help="only write the page of the seeds that are there")
    command.add_argument(
        "--diet-path", help="folder or zip of train/CLASS/… and test/CLASS/…, in place of the recipe's"
    )
    for flag in flags_of("train"):
        if flag.name in ("mirror", "device"):
            _add_flag(command, flag)
    _add_output(command)


def _add_ship(command: argparse.ArgumentParser) -> None:
    command.add_argument("--recipe", required=True, help="the recipe's name, as in data/training")
    command.add_argument("--seed", type=_at_least(0), required=True, help="of the training")
    _add_output(command)


def _run(arguments: argparse.Namespace) -> None:
    from pipeline.study.stages import run_stage

    if arguments.command in LISTS:
        listing: Callable[..., str] = getattr(run_stage, f"list_{arguments.command}")
        of = (arguments.model, arguments.study, arguments.build) if arguments.command == "layers" else ()
        print(listing(*of))
        return
    getattr(run_stage, f"run_{arguments.command}")(arguments)


def _printable_streams() -> None:
    """Terminals and pipes that are not UTF-8 get a substitute for what they cannot show; closed ones take everything.

    A closed stream is opened anew for the system as well: the next file opened would get its number, and what
    libraries print.
    """
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  (as long as we run)
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _pin_threads(n_threads: int | None) -> None:
    """Numerical libraries read these when they are imported, which happens inside the stages."""
    # torch's threads would spin while they wait, and take the cores from NumPy's: encode was half as fast
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if n_threads:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(n_threads)


def _fail(command: str, message: str, status: int, log: Path | None) -> int:
    trace = traceback.format_exc()
    where = ""
    if log is not None:
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(f"layermap {command}: {message}\n", encoding="utf-8", errors="replace")
            log.with_suffix(".traceback").write_text(trace, encoding="utf-8", errors="replace")
            where = f" [traceback: {log.with_suffix('.traceback')}]"
        except OSError:
            where = ""  # the disk that failed the stage fails its log too; the line on screen has to do
    elif os.environ.get("LAYERMAP_TRACEBACK"):
        sys.stderr.write(trace)
    sys.stderr.write(f"layermap {command}: {message}{where}\n")
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    _printable_streams()
    argv = list(sys.argv[1:] if argv is None else argv)
    known = {**STAGES, **LISTS, **ONCE}
    if argv and not argv[0].startswith("-") and argv[0] not in known:
        sys.stderr.write(f"layermap: {UnknownName('stage', argv[0], known)}\n")
        return 2
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 2
    log = getattr(arguments, "log", None)
    _pin_threads(getattr(arguments, "threads", None))
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "10")  # a log wants a line now and then, not a moving bar
    os.environ.update(dict.fromkeys(OFFLINE, "1"))
    try:
        _run(arguments)
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("done\n", encoding="utf-8")
    except LayermapError as error:
        return _fail(arguments.command, str(error), 1, log)
    except BrokenPipeError:  # `layermap layers NAME | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail(arguments.command, "stopped by the user; start it again to go on", 130, log)
    except OSError as error:
        from pipeline.artifacts.storage.store import explain_os_error

        explained = explain_os_error(error, error.filename or "a file", doing="open")
        message = str(explained) if explained else f"{error.strerror or error}: {error.filename or ''}; {REPORT_BUGS}"
        return _fail(arguments.command, message, 1 if explained else 3, log)
    except Exception as error:  # the last line of defence: one line on screen, the rest in the log
        return _fail(arguments.command, f"{type(error).__name__}: {error}; {REPORT_BUGS}".replace("\n", " "), 3, log)
    return 0
