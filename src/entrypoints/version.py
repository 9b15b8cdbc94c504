"""The version of the running code."""

from importlib.metadata import PackageNotFoundError, version


def app_version() -> str:
    """The installed version, or the one declared in the checkout."""
    try:
        return version("bellwire")
    except PackageNotFoundError:
        return "0+checkout"
