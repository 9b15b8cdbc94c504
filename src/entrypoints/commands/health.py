"""`bellwire health`: whether a process on this machine works, for health checks."""

import argparse
from http import HTTPStatus

from entrypoints.commands.asking import NoAnswer, ask, own
from entrypoints.commands.output import status
from entrypoints.settings import Settings


def health(parser: argparse.ArgumentParser) -> None:
    """Ask whether a process on this machine works."""
    parser.add_argument("--consumer", action="store_true", help="ask the consumer instead of the API")
    parser.add_argument("--ready", action="store_true", help="and whether every server is in reach")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Ask. Returns 1, and prints why, if the answer is no."""
    settings = Settings.from_env()
    url = own(settings, settings.consumer_port if arguments.consumer else None)
    try:
        answer = ask(url, "/health/ready" if arguments.ready else "/health/live")
    except NoAnswer as failure:
        status(f"{url}: {failure}")
        return 1
    if answer.status != HTTPStatus.OK:
        status(f"{url} answered {answer.status}: {answer.body.get('checks', '')}")
    return int(answer.status != HTTPStatus.OK)
