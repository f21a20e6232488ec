"""What LiveKit's native library logs stays there, instead of becoming Python's work.

The SDK lets the library hand over every line of its own and of WebRTC, at every level, each as an
event of its own that takes the interpreter's lock; Python then drops nearly all. Lines that Python
has not got to yet wait without a bound. With livekit 1.2.1 a room that was joined, sent 10 pictures
and was left cost 0.24 s of processor time instead of 0.18 s (`benchmarks/rooms.py`).
"""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import Final

from livekit.rtc import __version__ as sdk_version
from livekit.rtc import _ffi_client

_FILTER: Final = "RUST_LOG"
_HANDS_OVER: Final = False
_logger = logging.getLogger(__name__)


@cache
def keep_native_logs_out() -> bool:
    """Tell the native library, once, to hand over no log lines; return whether it could be told.

    It writes to stderr then what the environment variable RUST_LOG selects, and nothing without it.
    To be called before the SDK is used: the library reads RUST_LOG when it begins.
    """
    is_chosen = _FILTER in os.environ
    if not is_chosen:
        os.environ[_FILTER] = "off"
    try:
        # The SDK has no setting for this; its own call, made again, does nothing but this.
        client = _ffi_client.FfiClient.instance
        client._ffi_lib.livekit_ffi_initialize(  # noqa: SLF001 - see above
            _ffi_client.ffi_event_callback, _HANDS_OVER, b"python", sdk_version.encode("ascii")
        )
    except AttributeError:
        _logger.warning(
            "livekit %s hands over its native log, which costs memory and processor time: "
            "this was tried with livekit 1.2",
            sdk_version,
        )
        return False
    finally:
        if not is_chosen:
            del os.environ[_FILTER]
    return True
