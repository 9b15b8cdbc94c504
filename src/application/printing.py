"""Text that is shown to people who operate the service."""


def printable(text: str) -> str:
    """Untrusted text, with every character escaped that a terminal or a log would interpret."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )
