"""Iceberg's REST catalog in a process of its own; for tests and benchmarks."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Final
from urllib.error import URLError

from installed_services import START_S, free_port, installed

_SERVER: Final = Path(__file__).parent / "iceberg" / "server.xml"


class RestCatalog:
    """Speaks Iceberg's REST protocol at 127.0.0.1, always the same port.

    It takes every token and every credential.

    Args:
        folder: Its tables, and where their newest metadata is; kept when it is killed.
    """

    def __init__(self, folder: Path) -> None:
        self._java, self._libs = installed("iceberg-rest-*", "Iceberg's REST catalog")
        self._folder = folder
        self._log = folder / "log"
        self._port = free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def settings(self) -> dict[str, str]:
        """What pyiceberg needs to know to reach it."""
        return {
            "type": "rest",
            "uri": self.uri,
            "oauth2-server-uri": f"{self.uri}/v1/oauth/tokens",
        }

    @property
    def tables(self) -> Path:
        """The folder with a folder for each namespace."""
        return self._folder / "tables"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                    "-cp", f"{self._libs}/*", "org.eclipse.jetty.xml.XmlConfiguration",
                    str(_SERVER), f"port={self._port}", f"folder={self._folder}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        try:
            self._wait(self._process)
        except BaseException:
            self.kill()
            raise

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(f"{self.uri}/v1/config", timeout=2):  # noqa: S310
                    return
            except (URLError, OSError):
                text = self._log.read_text(errors="replace")[-2000:]
                assert process.poll() is None, f"the catalog has ended:\n{text}"
                assert time.monotonic() < deadline_s, f"the catalog did not start:\n{text}"
                time.sleep(0.05)

    def kill(self) -> None:
        """End it without a goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
