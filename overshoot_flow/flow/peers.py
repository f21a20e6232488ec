"""Which process of a cluster this one is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from overshoot_flow.errors import ConfigurationError

_EXAMPLE: Final = "such as -i 0 -a 'host-a:2101;host-b:2101'"


@dataclass(frozen=True, slots=True)
class Peer:
    """One of several processes that run the same dataflow together.

    Args:
        process_id: Number of this process, from 0.
        addresses: `host:port` of every process, in the order of their numbers; the same list in
            all of them. The ports must be open between the processes only: what travels over
            them is neither encrypted nor authenticated.

    Raises:
        ConfigurationError: An address is none, is there twice, or the number has no address.
    """

    process_id: int
    addresses: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the addresses and the number."""
        for address in self.addresses:
            _host_and_port(address)
        twice = [address for address, count in Counter(self.addresses).items() if count > 1]
        if twice:
            raise ConfigurationError(f"the address {twice[0]} is there twice: one per process")
        if not 0 <= self.process_id < len(self.addresses):
            raise ConfigurationError(
                f"process {self.process_id} has no address among {len(self.addresses)}: "
                f"they are counted from 0, {_EXAMPLE}"
            )

    @classmethod
    def parse(cls, process_id: int | None, addresses: str | None) -> Self | None:
        """Read the values of the options `-i` and `-a`; None when there are neither.

        Raises:
            ConfigurationError: One is there without the other, or they do not fit.
        """
        if process_id is None and addresses is None:
            return None
        if process_id is None or addresses is None:
            raise ConfigurationError(
                f"a process of a cluster needs its number and all addresses, {_EXAMPLE}"
            )
        listed = (address.strip() for address in addresses.split(";"))
        return cls(process_id, tuple(address for address in listed if address))

    def place(self, process_id: int) -> tuple[str, int]:
        """Return host and port of a process."""
        return _host_and_port(self.addresses[process_id])

    def named(self, process_id: int) -> str:
        """Name a process for people."""
        return f"process {process_id} ({self.addresses[process_id]})"

    @property
    def others(self) -> list[int]:
        """The numbers of the other processes."""
        return [number for number in range(len(self.addresses)) if number != self.process_id]


def _host_and_port(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
        if host and port and parts.netloc == address and "@" not in address:
            return host, port
    except ValueError:
        # The same as any other text that is no address.
        pass
    raise ConfigurationError(f"{address!r} is no address of a process: host:port, {_EXAMPLE}")
