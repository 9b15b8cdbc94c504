"""What README and docs show: their code blocks, each with its language and what is said about running it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES: Sequence[Path] = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("clients/*/README.md")),
]
_BLOCK = re.compile(r"^( *)```(\S*) *(.*)\n((?s:.*?))^\1```$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    place: str
    language: str
    remark: str
    code: str

    @property
    def runs(self) -> bool:
        return not self.remark

    @property
    def commands(self) -> list[str]:
        """The command lines of a shell block, without prompts, output and comments. What is between single
        quotes may take several lines.
        """
        text = re.sub(r"'[^'\n]*'|'[^']*'", lambda quoted: quoted[0].replace("\n", " "), self.code)
        lines = re.sub(r"\\\n *", "", text).splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        bare = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
        return [line for line in bare if line]


def blocks(*languages: str) -> list[Block]:
    """The blocks in these languages; all if none is named."""
    return [block for page in PAGES for block in _of(page) if not languages or block.language in languages]


def _of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            place=f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}",
            language=found[2],
            remark=found[3],
            code=re.sub(rf"^{found[1]}", "", found[4], flags=re.MULTILINE),
        )
        for found in _BLOCK.finditer(text)
    ]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
