"""``hangdog``: the group of commands, its errors and its exit codes.

Guarantees: every error is two lines on standard error, the fact with its values and a
command that parses; the exit code is 0 nothing found, 1 findings, 2 usage, 3 the harness
failed, 4 this machine cannot run it, 130 interrupted.  A reader that went away (a broken
pipe) is no error and nothing is said.  Refuses to print a traceback unless HANGDOG_DEBUG
is set.
"""

import io
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import Any, NoReturn

import click

from harness.errors import BadInput, CannotRunHere, HarnessError, shortage
from stress.cli.messages import say, usage_of

FOUND_NOTHING, FINDINGS, USAGE, HARNESS_FAILED, CANNOT_RUN = range(5)
INTERRUPTED = 128 + signal.SIGINT
READER_GONE = 128 + signal.SIGPIPE
PROGRAM = "hangdog"

# Modules are imported when their command is used: `show` must work in a tree whose
# extension is not built, and `--help` must not wait for all the others.
COMMANDS = {
    "run": "stress.cli.run:run",
    "show": "stress.cli.show:show",
    "list": "stress.cli.list:list_",
    "defects": "stress.cli.defects:defects",
    "fuzz": "stress.cli.fuzz:fuzz",
    "ps": "stress.cli.ps:ps",
    "dump": "stress.cli.dump:dump",
}


class Commands(click.Group):
    """A group that knows its commands by name and imports them when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, imported now; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        try:
            command: click.Command = getattr(import_module(module), name)
        except BadInput:
            if sys.flags.optimize < 2:
                raise
            why = "the VM's contracts are its docstrings, and Python was told to leave those out (-OO)"
            raise CannotRunHere(why, "PYTHONOPTIMIZE= hangdog list scenarios") from None
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The same as click's, with what the unknown name may have meant."""
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing and not args[0].startswith("-"):
            raise usage_of("command", args[0], COMMANDS, lambda name: f"{PROGRAM} {name} --help", PROGRAM)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, help="Show the version and exit.")
@click.pass_context
def hangdog(ctx: click.Context, version: bool) -> int:
    """Run code that shares memory between processes hard, and say who holds what when it hangs.

    Exit codes: 0 nothing found, 1 findings, 2 usage, 3 the harness itself failed, 4 this machine cannot
    run it, 130 interrupted.  HANGDOG_DEBUG=1 shows the traceback of what went wrong inside.
    """
    if version:
        click.echo(f"{PROGRAM} {installed()}")
        ctx.exit(FOUND_NOTHING)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return USAGE
    return FOUND_NOTHING


def installed() -> str:
    """The version, as far as this tree was installed."""
    try:
        return metadata.version(PROGRAM)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def main(args: Sequence[str] | None = None) -> NoReturn:
    """The console script: run a command, turn whatever happens into an exit code."""
    words = list(sys.argv[1:] if args is None else args)
    take_sigterm()
    open_streams()
    code = outcome(words)
    sys.exit(flushed(code))


def take_sigterm() -> None:
    """SIGTERM ends a command as Ctrl-C does: with a message, and with what is ours cleaned up.

    Not where the signal is ignored or handled already: the program that started us wanted that.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def open_streams() -> None:
    """Put something where a standard stream was closed: the next file opened would get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Descriptors are given lowest first, so this one is `number`.
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115 - for ever
    for stream in (sys.stdout, sys.stderr):
        # A finding must not be lost because of an arrow that the terminal's encoding does not have.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def outcome(words: list[str]) -> int:
    """Exit code of one command; errors have been said."""
    try:
        # Not hangdog.main(): it makes a broken pipe exit code 1, which here means findings.
        with hangdog.make_context(PROGRAM, words) as ctx:
            result: Any = hangdog.invoke(ctx)
        return result if isinstance(result, int) else FOUND_NOTHING
    except click.exceptions.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        return READER_GONE
    except (KeyboardInterrupt, click.exceptions.Abort):
        say("interrupted", again(words))
        return INTERRUPTED
    except click.UsageError as error:
        debug()
        say(*usage(error))
        return USAGE
    except click.ClickException as error:
        say(error.format_message(), f"{PROGRAM} --help")
        return USAGE
    except HarnessError as error:
        debug()
        say(str(error), error.hint or again(words, "HANGDOG_DEBUG=1 "))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, it is two lines and exit code 3
        debug()
        if short := shortage(error):
            say(f"this machine gives us no more {short}: {type(error).__name__}", "ulimit -a")
            return CANNOT_RUN
        say(f"{type(error).__name__}: {error}", again(words, "HANGDOG_DEBUG=1 "))
        return HARNESS_FAILED


def usage(error: click.UsageError) -> tuple[str, str]:
    """Fact and remedy of what click does not like about the words."""
    path = error.ctx.command_path if error.ctx is not None else PROGRAM
    fact = error.format_message().rstrip(".")
    fact = fact[:1].lower() + fact[1:]
    return fact, getattr(error, "hint", "") or f"{path} --help"


def again(words: Sequence[str], before: str = "") -> str:
    """The command that was typed."""
    return f"{before}{shlex.join([PROGRAM, *words])}"


def debug() -> None:
    """The traceback, when HANGDOG_DEBUG asks for it."""
    if os.environ.get("HANGDOG_DEBUG"):
        traceback.print_exc()


def flushed(code: int) -> int:
    """Write out what is buffered, while an error can still become an exit code."""
    try:
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        code = READER_GONE
    except OSError as error:
        say(f"cannot write to standard output: {error.strerror}", "df -h .")
        code = HARNESS_FAILED
    # The interpreter flushes once more at its end, and would complain about the same thing.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


if __name__ == "__main__":
    main()
