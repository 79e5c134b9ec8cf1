"""Facts about the machine, and whether it is free to be measured."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

CPU = Path("/sys/devices/system/cpu")
BUSY_SHARE = 0.05  # of one processor: more than this disturbs what is measured beside it
WATCH_S = 1.0


def cpus() -> list[int]:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def processor() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def caches(cpu: int) -> dict[str, int]:
    """Sizes in bytes of the data caches of a processor, nearest first; empty where they are not told."""
    found: dict[int, int] = {}
    for index in sorted((CPU / f"cpu{cpu}" / "cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[int(level)] = int(size[:-1]) * {"K": 1 << 10, "M": 1 << 20}[size[-1]]
    return {f"L{level}": found[level] for level in sorted(found)}


def commit() -> str | None:
    """The commit of the working tree, with "+" when it was changed since."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def busy_shares() -> dict[str, float]:
    """Share of the next second that each processor spends on others' work, the hypervisor's included."""

    def ticks() -> dict[str, tuple[int, int]]:
        found = {}
        for line in Path("/proc/stat").read_text().splitlines():
            name, *counts = line.split()
            if name.startswith("cpu") and name != "cpu":
                user, nice, system, idle, wait, irq, softirq, steal = map(int, counts[:8])
                idling = idle + wait
                found[name] = (idling, idling + user + nice + system + irq + softirq + steal)
        return found

    if not Path("/proc/stat").exists():
        return {}
    before = ticks()
    time.sleep(WATCH_S)
    after = ticks()
    shares = {}
    for name, (idle, total) in after.items():
        passed = max(1, total - before[name][1])
        shares[name] = round(1 - (idle - before[name][0]) / passed, 3)
    return shares


def warning(facts: dict[str, Any]) -> str | None:
    """What is wrong with measuring now, or None when the machine is idle."""
    busy = {name: share for name, share in facts["busy"].items() if share > BUSY_SHARE}
    if not busy:
        return None
    shares = ", ".join(f"{name} {share:.0%}" for name, share in busy.items())
    return f"the machine is busy ({shares}; load {facts['load']:.2f}): these figures are not to be trusted"


def facts() -> dict[str, Any]:
    """What the figures are measured on, as plain values."""
    available = cpus()
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "architecture": platform.machine(),
        "cores": len(available),
        "caches": caches(available[-1]),
        "kernel": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 2),
        "busy": busy_shares(),
        "commit": commit(),
    }
