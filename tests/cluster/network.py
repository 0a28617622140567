"""Hosts of a small network inside this machine: each a network namespace, and cables between them that can be cut."""

import os
import subprocess

import pytest


def ip(*arguments: str, host: str | None = None, check: bool = True) -> subprocess.CompletedProcess:
    command = ["ip", *(["-n", host] if host else []), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=check)


def unavailable() -> str | None:
    """Why there can be no such network here; nothing if there can."""
    try:
        made = ip("netns", "add", f"tm{os.getpid()}x", check=False)
    except FileNotFoundError:
        return "no `ip` command; on Debian: apt-get install iproute2"
    if made.returncode:
        return f"no network namespaces here: {made.stderr.strip()}"
    bridge = ip("link", "add", f"tm{os.getpid()}x", "type", "bridge", check=False)
    ip("link", "del", f"tm{os.getpid()}x", check=False)
    ip("netns", "del", f"tm{os.getpid()}x")
    return f"no bridges here: {bridge.stderr.strip()}" if bridge.returncode else None


class Network:
    """A bridge, where the coordinator listens, and a namespace for each worker."""

    def __init__(self, hosts: int):
        if why := unavailable():
            pytest.skip(why)
        mark = os.getpid() % 100_000
        self.bridge = f"tm{mark}b"
        self.prefix = f"10.{200 + mark // 250 % 50}.{mark % 250}"
        self.hosts = [f"tm{mark}h{number}" for number in range(hosts)]
        try:
            ip("link", "add", self.bridge, "type", "bridge")
            ip("addr", "add", f"{self.gateway}/24", "dev", self.bridge)
            ip("link", "set", self.bridge, "up")
            for host in self.hosts:
                self._plug_in(host)
        except BaseException:
            self.remove()
            raise

    def _plug_in(self, host: str):
        ip("netns", "add", host)
        ip("link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", host)
        ip("link", "set", host, "master", self.bridge, "up")
        ip("addr", "add", f"{self.address(host)}/24", "dev", "eth0", host=host)
        ip("link", "set", "lo", "up", host=host)
        ip("link", "set", "eth0", "up", host=host)

    @property
    def gateway(self) -> str:
        """The address of the coordinator."""
        return f"{self.prefix}.1"

    def address(self, host: str) -> str:
        return f"{self.prefix}.{self.hosts.index(host) + 2}"

    def within(self, host: str) -> tuple[str, ...]:
        """The command that runs another on a host."""
        return ("ip", "netns", "exec", host)

    def isolate(self, host: str):
        """Pulls the cable of a host: packets from and to it vanish, and nobody is told."""
        self._mislead(None, self.address(host))
        self._mislead(host, self.gateway)
        for other in self.hosts:
            if other != host:
                self.separate(host, other)

    def rejoin(self, host: str):
        self._lead(None, self.address(host))
        self._lead(host, self.gateway)
        for other in self.hosts:
            if other != host:
                self._lead(host, self.address(other))
                self._lead(other, self.address(host))

    def cut_off_coordinator(self, host: str):
        """Lets packets between a host and the coordinator vanish; other hosts still reach it."""
        self._mislead(None, self.address(host))
        self._mislead(host, self.gateway)

    def separate(self, one: str, other: str):
        """Lets packets between two hosts vanish; both still reach the coordinator."""
        self._mislead(one, self.address(other))
        self._mislead(other, self.address(one))

    def _mislead(self, host: str | None, address: str):
        """Sends what is for an address to a card that nobody has."""
        device = "eth0" if host else self.bridge
        ip("neigh", "replace", address, "lladdr", "02:00:00:00:00:ff", "dev", device, "nud", "permanent", host=host)

    def _lead(self, host: str | None, address: str):
        ip("neigh", "del", address, "dev", "eth0" if host else self.bridge, host=host, check=False)

    def remove(self):
        for host in self.hosts:
            ip("link", "del", host, check=False)
            ip("netns", "del", host, check=False)
        ip("link", "del", self.bridge, check=False)
