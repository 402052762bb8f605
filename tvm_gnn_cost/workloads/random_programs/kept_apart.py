"""The skeletons of the workloads that the project keeps for testing: no random program has one of them.

Written by `benchmarks/generate_kept_apart.py`; part of what a version of `random_program` means.
"""

from __future__ import annotations

KEPT_APART = frozenset(
    {
        "00f92dac74143cd4",
        "04b56897fe421d59",
        "0fc77686eccd0a67",
        "137b8c3ea4bb4a99",
        "15cfa2c0b7c47a71",
        "16cbcf57aaf8bca5",
        "1e1124897c2987a9",
        "2bed10e61ec899ad",
        "33fed189ba8364f2",
        "3bfa73b8b453c342",
        "3d5cc1ca500c2eae",
        "4036364538004f97",
        "45c1ebb7762a3222",
        "46755385ce3ddbaa",
        "611375e575f7d53b",
        "633453d4f48c8fe4",
        "734b80fa6a894038",
        "848ad09ba3ade24b",
        "9255fec264c0e95e",
        "9aaaed269a558a94",
        "a92bc864e784732c",
        "a96dbe11fd78778e",
        "abb879f16da23f83",
        "ac68c3e8670d2782",
        "b85c8923f5139a89",
        "b8718f37029fa68d",
        "bffdbbd3d4d67e78",
        "c5c7fd8a17c47d9d",
        "c5eac9b7460ba65d",
        "f0612ea1224638d9",
        "f09616bd0484a68e",
    }
)
