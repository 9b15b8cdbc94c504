"""The version that runs."""

from importlib.metadata import PackageNotFoundError, version


def app_version() -> str:
    """The version that is installed, or what runs from a checkout."""
    try:
        return version("bellwire")
    except PackageNotFoundError:
        return "0+checkout"
