"""The types of TVM objects that the native reader meets: `native/ansor/type_keys.h` is generated from here."""

from __future__ import annotations

from typing import NamedTuple


class TypeKey(NamedTuple):
    """One type.

    Attributes:
        member: its name in the extension's enumeration TypeId.
        key: TVM's name for it (`_type_key`).
        at_load: whether TVM registers it when it is loaded. The others get their index when the first object is made.
    """

    member: str
    key: str
    at_load: bool


TYPE_KEYS = (
    TypeKey("kArray", "Array", True),
    TypeKey("kIntImm", "IntImm", True),
    TypeKey("kRange", "Range", True),
    TypeKey("kIterVar", "tir.IterVar", True),
    TypeKey("kComputeOp", "ComputeOp", True),
    TypeKey("kPlaceholderOp", "PlaceholderOp", True),
    TypeKey("kState", "auto_scheduler.State", True),
    TypeKey("kStage", "auto_scheduler.Stage", True),
    TypeKey("kIterator", "auto_scheduler.Iterator", True),
    TypeKey("kAttachMap", "auto_scheduler.AttachMap", False),
    TypeKey("kSplitStep", "auto_scheduler.SplitStep", False),
    TypeKey("kFollowSplitStep", "auto_scheduler.FollowSplitStep", False),
    TypeKey("kFollowFusedSplitStep", "auto_scheduler.FollowFusedSplitStep", False),
    TypeKey("kFuseStep", "auto_scheduler.FuseStep", False),
    TypeKey("kReorderStep", "auto_scheduler.ReorderStep", False),
    TypeKey("kCacheReadStep", "auto_scheduler.CacheReadStep", False),
    TypeKey("kCacheWriteStep", "auto_scheduler.CacheWriteStep", False),
    TypeKey("kRfactorStep", "auto_scheduler.RfactorStep", False),
    TypeKey("kAnnotationStep", "auto_scheduler.AnnotationStep", False),
    TypeKey("kPragmaStep", "auto_scheduler.PragmaStep", False),
    TypeKey("kComputeAtStep", "auto_scheduler.ComputeAtStep", False),
    TypeKey("kComputeInlineStep", "auto_scheduler.ComputeInlineStep", False),
    TypeKey("kComputeRootStep", "auto_scheduler.ComputeRootStep", False),
    TypeKey("kStorageAlignStep", "auto_scheduler.StorageAlignStep", False),
)

REGISTERED_TYPES = tuple(entry.key for entry in TYPE_KEYS if entry.at_load)
"""Keys of the types that TVM registers when it is loaded."""
