"""Libraries and programs that one file format needs: suggested by the package, loaded when used."""

from __future__ import annotations

import importlib
from typing import Any

from .errors import CommandFailed


def load(module: str, what: str, package: str) -> Any:
    """Return ``module``, which ``what`` needs. Raises CommandFailed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise missing(what, package) from None


def missing(what: str, package: str) -> CommandFailed:
    """Return the error where ``package`` is not installed."""
    return CommandFailed(
        f"for {what}, {package} is needed, which is not installed",
        f"run: apt-get install {package}",
    )
