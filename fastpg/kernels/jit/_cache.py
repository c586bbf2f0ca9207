"""Keeping compiled code on disk, where the user asks for it; trouble with the directory is a warning, not an error."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from numba.core.caching import FunctionCache

from fastpg.errors import warn_user


class TolerantCache(FunctionCache):
    """Numba's cache, whose failures to read or write (a full disk, a damaged file) leave the code compiled anyway."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kept code, or None."""
        load: Callable[..., Any] = super().load_overload
        return _attempt(load, sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep it."""
        save: Callable[..., Any] = super().save_overload
        _attempt(save, sig, data)


def enable_cache(compiled: Any) -> None:
    """Keep what ``compiled``, a function of ``numba.njit``, becomes."""
    make: Callable[..., Any] = TolerantCache
    kept = _attempt(make, compiled.py_func)
    if kept is not None:
        compiled._cache = kept


def _attempt(action: Callable[..., Any], *arguments: Any) -> Any:
    """What ``action`` returns; None, with one warning per process, if it fails."""
    try:
        return action(*arguments)
    except Exception as error:  # noqa: BLE001 - reading a damaged file may raise anything
        _warn_once(str(error))
        return None


@cache
def _first_reason() -> list[str]:
    return []


def _warn_once(reason: str) -> None:
    if not _first_reason():
        _first_reason().append(reason)
        warn_user(
            f"FASTPG_JIT_CACHE=1: compiled kernels cannot be kept ({reason}); they are compiled again. "
            "Fix: point NUMBA_CACHE_DIR at a directory that can be written, or empty it if it is damaged."
        )
