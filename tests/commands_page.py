"""docs/commands.md, made from the command line itself: `python -m tests.commands_page` writes it."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from entrypoints.commands import cli

PAGE = Path(__file__).resolve().parents[1] / "docs/commands.md"
_HEAD = """# Commands

Made from the command line by `python -m tests.commands_page`; a test fails when it is out of date.

- Results go to standard output: a table on a terminal, one line for each thing in a pipe, or with `--json`
  one JSON object on each line. Everything else goes to standard error. `NO_COLOR` is respected.
- The exit status is 0 if it is done, 1 if it failed, 2 if the command or a setting is wrong, and 130 after
  Ctrl-C.
- Settings are those of the environment. If none of these says where an installation is, the commands use the
  one that `make dev` runs: they read `.bellwire/env` in the working directory or above, if nobody else can
  write it.
- `publish`, `listen` and `inbox` reach the service over the network: at `--url`, else at `BELLWIRE_URL`.
  Their key is `BELLWIRE_API_KEY`. Their token is `--token`, else made with `BELLWIRE_TOKEN_SECRET`, else
  `BELLWIRE_TOKEN`. With `--url` they take none of these from `make dev`.
- `eval "$(bellwire completion bash)"` completes commands in bash; `bellwire completion --help` says how in
  zsh and fish.
- `bellwire dev` and `bellwire soak` exist in a checkout only.
"""


def text() -> str:
    """The page."""
    return "\n".join([_HEAD, *_lines(cli.whole_parser())])


def _lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in _commands(parser):
        about = {choice.dest: choice.help for choice in action._choices_actions}
        for name, command in action.choices.items():
            yield from _command(command, about.get(name) or "")
            yield from _lines(command)


def _commands(parser: argparse.ArgumentParser) -> "list[argparse._SubParsersAction[argparse.ArgumentParser]]":
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def _command(command: argparse.ArgumentParser, about: str) -> Iterator[str]:
    positional = " ".join(map(_positional, command._get_positional_actions()))
    name = " ".join(filter(None, (_name(command), positional)))
    yield f"{'###' if name.count(' ') > 1 and _is_below(command) else '##'} `{name}`\n"
    if about:
        yield f"{about[0].upper()}{about[1:]}.\n"
    rows = [row for action in command._actions if (row := _row(command, action))]
    if rows:
        yield "| Argument | Meaning |\n| --- | --- |"
        yield from rows
        yield ""


def _name(command: argparse.ArgumentParser) -> str:
    # From Python 3.12 on the name of a command below includes the arguments before it.
    return " ".join(word for word in command.prog.split() if word.islower())


def _is_below(command: argparse.ArgumentParser) -> bool:
    return _name(command).count(" ") > 1


def _positional(action: argparse.Action) -> str:
    if isinstance(action, argparse._SubParsersAction):
        return "COMMAND" if action.required else "[COMMAND]"
    shown = _metavar(action)
    if action.nargs == "?":
        return f"[{shown}]"
    return f"[{shown} …]" if action.nargs == "*" else f"{shown} …" if action.nargs == "+" else shown


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "\\|".join(map(str, action.choices))
    return action.dest.upper()


def _row(command: argparse.ArgumentParser, action: argparse.Action) -> str | None:
    if isinstance(action, argparse._SubParsersAction | argparse._HelpAction) or not action.help:
        return None
    value = "" if action.nargs == 0 or not action.option_strings else f" {_metavar(action)}"
    names = ", ".join(f"`{name}{value}`" for name in action.option_strings) or f"`{_metavar(action)}`"
    parameters = {**vars(action), "prog": command.prog}
    return f"| {names} | {action.help % parameters} |"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
