"""Which packages are installed as `tvm`, and whether they fit together: told from their metadata, before one is loaded.

apache-tvm is compiled against a release of apache-tvm-ffi and asks for that one or any later; but later ones differ in
their binary interface, so pip installs pairs that fail on import or crash the process. `PAIRS` is what was tried.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

WITH_AUTO_SCHEDULER = "xtc-tvm-python-bindings"
WITH_META_SCHEDULE = "apache-tvm"
FFI = "apache-tvm-ffi"

PAIRS: Mapping[str, str] = MappingProxyType(
    {"0.25": "==0.1.12", "0.26": ">=0.1.13.post2,<0.1.15", "0.27": ">=0.1.14.post0,<0.1.15"}
)
"""Release of apache-tvm -> those of apache-tvm-ffi that it works with.

Tried with 0.1.11 to 0.1.15.post2. Earlier ones lack symbols or functions; with a later one 0.25 lacks a symbol, while
0.26 and 0.27 are imported, and crash in MetaSchedule's `TuneContext`.
"""

PIN = "pip install 'apache-tvm==0.27.0.post1' 'apache-tvm-ffi>=0.1.14.post0,<0.1.15'"


@dataclass(frozen=True)
class Pair:
    """apache-tvm and the apache-tvm-ffi beside it."""

    tvm: str
    ffi: str

    @property
    def is_known(self) -> bool:
        """Whether the release was tried: `PAIRS` says what it works with."""
        return _release(self.tvm) in PAIRS

    def __str__(self) -> str:
        return f"{WITH_META_SCHEDULE} {self.tvm} with {FFI} {self.ffi}"


def installed_pair() -> Pair | None:
    """The pair that `import tvm` would load; None where TVM is another package's, built from source, or missing."""
    owners = {owner.name: owner for owner in _owners()}
    ffi = _find(FFI)
    if WITH_META_SCHEDULE not in owners or ffi is None:
        return None
    return Pair(owners[WITH_META_SCHEDULE].version, ffi.version)


def installed_version() -> str | None:
    """The version of the package that `import tvm` would load; None where no package is known to own it."""
    return next((owner.version for owner in _owners()), None)


def misfit() -> str | None:
    """What is wrong with what is installed, and what to do; None where nothing is known to be."""
    owners = _owners()
    if len(owners) > 1:
        found = " and ".join(f"{owner.name} {owner.version}" for owner in owners)
        names = " ".join(owner.name for owner in owners)
        return (
            f"{found} are installed over one another in {_folder(owners[0])}: both are called `tvm`. Make an "
            f"environment for each, or remove both and install one: pip uninstall {names}"
        )
    if owners and owners[0].name == WITH_META_SCHEDULE and _find(FFI) is None:
        return f"{WITH_META_SCHEDULE} {owners[0].version} is installed without {FFI}: {PIN}"
    pair = installed_pair()
    wanted = PAIRS.get(_release(pair.tvm)) if pair is not None else None
    if pair is None or wanted is None or _fits(pair.ffi, wanted):
        return None
    return (
        f"{pair} crashes or cannot be loaded: TVM was compiled for another. It works with: "
        f"pip install '{FFI}{wanted}'; or install what was tried: {PIN}"
    )


def _owners() -> list[Distribution]:
    """The packages that own the `tvm` that would be imported."""
    spec = importlib.util.find_spec("tvm")
    if spec is None or spec.origin is None:
        return []
    imported = Path(spec.origin).resolve().parent
    found = [_find(name) for name in (WITH_AUTO_SCHEDULER, WITH_META_SCHEDULE)]
    return [one for one in found if one is not None and _folder(one) == imported]


def _folder(package: Distribution) -> Path:
    return Path(str(package.locate_file("tvm"))).resolve()


def _find(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _release(version: str) -> str:
    """`0.27` of `0.27.0.post1`."""
    return ".".join(version.split(".")[:2])


def _fits(version: str, wanted: str) -> bool:
    try:
        return Version(version) in SpecifierSet(wanted, prereleases=True)
    except InvalidVersion:
        return True  # built from source: nothing is known of it
