"""What of a data directory has no effect, looked at from beside: the log alone, whether a server runs or not."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from ..engine.effects import data_health, observed, tenants_in
from ..engine.quarantine import passed_over
from ..engine.recovery import recover
from ..foundation.errors import Corrupt, InstanterError
from ..log.segments import SegmentReader, list_segments
from ..privacy.access import DEFAULT_TENANT
from .readiness import Check
from .reading import Reading, reading
from .settings import Config
from .wiring import schema_of

TENANTS_MAX: Final = 10
"""Tenants that are looked at, those with the most events."""
FINDINGS_MAX: Final = 20
"""Of one tenant that are told."""
_END: Final = 1 << 62


def data_checks(config: Config, data: Path) -> list[Check]:
    """One check a finding; one that all counts where there is none; none where there is no data yet."""
    if not (data / "instanter.json").is_file():
        return []
    try:
        with reading(config, data) as read:
            return _checks(config, read)
    except InstanterError as error:
        status: Literal["warn", "fail"] = "fail" if isinstance(error, Corrupt) else "warn"
        return [Check("data", status, "cannot be looked into", str(error))]


def _passed_over(read: Reading) -> list[Check]:
    """A check for records that could not be folded, whosever they are; none where there are none."""
    found = passed_over(SegmentReader(read.directory.disk, read.directory.quarantine))
    if not found:
        return []
    newest = max(found)
    return [Check("data", "warn", f"{len(found):,} records cannot be folded", (
        f"they are passed over, the newest at {newest}: {found[newest]}. `instanter quarantine list` has them as poison"
    ))]


def _checks(config: Config, read: Reading) -> list[Check]:
    disk, directory = read.directory.disk, read.directory
    if not list_segments(disk, directory.log):
        return [Check("data", "ok", "nothing has come in yet")]
    partition, _ = recover(
        schema_of(config), read.log, log_start=read.log.start, log_end=_END, disk=disk,
        checkpoints=directory.checkpoints, cold=read.cold,
    )  # fmt: skip
    checks = _passed_over(read)
    tenants = tenants_in(read.log.read_back) or [DEFAULT_TENANT]
    for tenant in tenants[:TENANTS_MAX]:
        seen = observed(read.log.read_back, tenant, partition)
        health = data_health(seen, tenant, partition, read.subjects, mapping=config.events.names,
                             currency=config.catalogue.currency)  # fmt: skip
        of = "" if tenants == [DEFAULT_TENANT] else f" of {tenant}"
        events = sum(one.count for one in health.events)
        if health.ok:
            checks.append(Check("data", "ok", f"the newest {events:,} events{of} all count"))
        checks += [Check("data", "warn", f"{finding.code}{of}", finding.message)
                   for finding in health.findings[:FINDINGS_MAX]]
    return checks
