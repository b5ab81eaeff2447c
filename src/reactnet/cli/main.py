"""The `reactnet` command: what it is made of, how it fails.

Every mistake of the user's, be it in usage, in a file or on the disk, ends in one `error:` line with the value, one
`hint:` line, and exit code 2. A traceback means a bug of ours.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable, Sequence

import cyclopts
from cyclopts import App, Parameter

import reactnet
from reactnet.cli.bench import bench
from reactnet.cli.compile import compile_
from reactnet.cli.convert import convert
from reactnet.cli.count import count
from reactnet.cli.demo import demo
from reactnet.cli.doctor import doctor
from reactnet.cli.eval import eval_
from reactnet.cli.inspect import inspect
from reactnet.cli.models import models
from reactnet.cli.predict import predict
from reactnet.cli.report import report
from reactnet.cli.screen import plain
from reactnet.cli.train import train
from reactnet.cli.verify import verify
from reactnet.cli.zoo import zoo
from reactnet.errors import ReactnetError

USAGE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141

# Which extra brings in a package.
_EXTRAS = {
    **dict.fromkeys(("torch", "torchvision", "safetensors", "tomli_w"), "train"),
    **dict.fromkeys(("onnx", "onnxruntime", "openvino"), "bench"),
    "sklearn": "demo",
}

_DISK = {
    errno.ENOSPC: "free some space and run the command again; nothing half-written was left behind",
    errno.EDQUOT: "free some of your quota and run the command again; nothing half-written was left behind",
    errno.EACCES: "give a path that you may read, or write",
    errno.ENOENT: "give a path that exists",
}


class _Warnings(logging.Formatter):
    """Warnings as one plain line each, whatever a name in them holds."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def make_app() -> App:
    """The command line with every verb, in the order in which a newcomer meets them."""
    app = App(
        name="reactnet",
        help="Binary neural networks from images to a packed one-bit file that runs fast anywhere.",
        version=reactnet.__version__,
        default_parameter=Parameter(negative=()),
        help_flags=("--help", "-h"),
        suppress_keyboard_interrupt=False,
        help_format="plaintext",  # no Markdown parser to load: help in under 0.3 s
    )
    verbs: list[tuple[str, Callable[..., object]]] = [
        ("demo", demo),
        ("models", models),
        ("count", count),
        ("train", train),
        ("report", report),
        ("eval", eval_),
        ("convert", convert),
        ("compile", compile_),
        ("verify", verify),
        ("predict", predict),
        ("zoo", zoo),
        ("inspect", inspect),
        ("bench", bench),
        ("doctor", doctor),
    ]
    for position, (name, verb) in enumerate(verbs):
        app.command(verb, name=name, sort_key=position)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0; 1 where `verify` or `doctor` found a fault; 2 for a mistake."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Warnings("warning: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        code = make_app()(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except ReactnetError as error:
        return _fail(error.problem, error.hint)
    except cyclopts.CycloptsError as error:
        return _fail(*usage_error(error))
    except KeyboardInterrupt as error:
        print(str(error) or "interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough of it. Python flushes stdout once more on the way out: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        where = error.filename if error.filename is not None else "reactnet"
        hint = _DISK.get(error.errno or 0, "see that the path exists and that the disk works")
        return _fail(f"{os.fsdecode(where)}: {error.strerror or error}", hint)
    except MemoryError:
        return _fail("reactnet: out of memory", "use a smaller model or batch, or a machine with more memory")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        extra = _EXTRAS[error.name]
        return _fail(f"reactnet {tokens[0]}: {error.name} is not installed", f"pip install 'reactnet[{extra}]'")


def usage_error(error: cyclopts.CycloptsError) -> tuple[str, str]:
    """What cyclopts says, as problem and cure: its suggestion or its list of choices becomes the hint."""
    verb = " ".join(["reactnet", *(error.command_chain or ())])
    text = " ".join(str(error).split())
    hint = f"see {verb} --help"
    for mark in ("Did you mean ", "Choose from: ", "Available commands: "):
        before, found, after = text.partition(mark)
        if found:
            text = before.strip()
            hint = f"{found[0].lower()}{found[1:]}{after.partition(' Available commands')[0]}"
            break
    if isinstance(error, cyclopts.UnusedCliTokensError):
        text = f"unexpected argument {(error.unused_tokens or ['?'])[0]!r}"
    text = text.rstrip(".").removeprefix(f'Command "{" ".join(error.command_chain or ())}" ')
    return f"{verb}: {text[:1].lower()}{text[1:]}", hint


def _fail(problem: str, hint: str) -> int:
    """Print the two lines; a line break in a file's name does not make them three."""
    for label, text in (("error", problem), ("hint", hint)):
        print(f"{label}: {plain(' '.join(text.split()))}", file=sys.stderr)
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
