"""`overshoot-flow`: the command line."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from overshoot_flow import __version__
from overshoot_flow.errors import ConfigurationError, OvershootFlowError, PeerLostError
from overshoot_flow_pipelines.commands import (
    archive,
    check,
    deadletters,
    fleet,
    models,
    run,
    schema,
    serve,
    testvideo,
)
from overshoot_flow_pipelines.log_format import LOG_FORMATS, set_up_logging
from overshoot_flow_pipelines.summary import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_PEER_LOST,
    EXIT_USAGE,
)
from overshoot_flow_pipelines.supervised import Supervised

_logger = logging.getLogger(__name__)

_EXAMPLE = """\
example (everything on this machine):
  overshoot-flow testvideo demo.mp4 --duration 20
  overshoot-flow serve --port 8090 --engine ocr --key ovs-local &
  export OVERSHOOT_API_KEY=ovs-local
  overshoot-flow archive demo.mp4 --prompt "Read the text." --out answers \\
      --base-url http://127.0.0.1:8090/v0.2
"""


def parser() -> argparse.ArgumentParser:
    """Build the parser with all subcommands."""
    top = argparse.ArgumentParser(
        prog="overshoot-flow",
        description="Video in, typed answers of vision-language models out.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    top.add_argument(
        "--log-format",
        choices=LOG_FORMATS,
        default="text",
        help="how the log on standard error looks (default: %(default)s); json: an object a line",
    )
    top.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more: -v notices, -vv everything"
    )
    subcommands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        archive,
        check,
        fleet,
        run,
        schema,
        deadletters,
        serve,
        testvideo,
        models,
    ):
        command.add_parser(subcommands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code.

    0: done. 1: something failed. 2: wrong usage or configuration. 3: the frames do not add up.
    75: another process of the cluster was lost. 130: stopped at once by a second signal.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    supervised = Supervised.from_environment()
    if supervised is not None:
        supervised.end_with_supervisor()
    options = parser().parse_args(given)
    options.arguments = given
    options.supervised = supervised
    set_up_logging(options.verbose, options.log_format)
    in_cluster = supervised is not None or getattr(options, "process_id", None) is not None
    try:
        code = _run(options)
    except BaseException:
        if not in_cluster:
            raise
        traceback.print_exc()
        code = EXIT_FAILED
    if in_cluster:
        _leave(code)
    return code


def _run(options: argparse.Namespace) -> int:
    try:
        code: int = options.run(options)
    except OvershootFlowError as error:
        code = _code_of(error)
        _complain(error, code, options)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _code_of(error: OvershootFlowError) -> int:
    match error:
        case ConfigurationError():
            return EXIT_USAGE
        case PeerLostError():
            return EXIT_PEER_LOST
    return EXIT_FAILED


def _complain(error: Exception, code: int, options: argparse.Namespace) -> None:
    supervised: Supervised | None = options.supervised
    if supervised is None and options.log_format == "json":
        _logger.error("%s", error)
    elif supervised is None:
        sys.stderr.write(f"overshoot-flow: {error}\n")
    elif code != EXIT_PEER_LOST:
        # The supervisor says it, once, however many processes fail with it.
        supervised.hand_over({"error": str(error)})


def _leave(code: int) -> None:
    """End a process of a cluster, in which threads of a failed engine abort Python's own end."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
