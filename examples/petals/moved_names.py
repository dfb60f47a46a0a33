"""Petals 2.2 looks for names where hivemind 1.1.10 had them; 1.1.12, which takes pydantic 2, has them elsewhere.

Import this before `petals`.
"""

from __future__ import annotations

import importlib

import hivemind

HOMES = {
    "hivemind.p2p": ("P2P", "P2PContext", "PeerID"),
    "hivemind.compression.serialization": (
        "deserialize_tensor_stream", "deserialize_torch_tensor", "serialize_torch_tensor",
    ),
    "hivemind.utils": (
        "DHTExpiration", "MAX_DHT_TIME_DISCREPANCY_SECONDS", "MPFuture", "MSGPackSerializer", "TensorDescriptor",
        "TimedStorage", "get_dht_time", "get_logger", "nested_flatten", "nested_pack",
    ),
    "hivemind.utils.asyncio": ("anext",),
    "hivemind.utils.nested": ("nested_compare",),
    "hivemind.utils.tensor_descr": ("BatchTensorDescriptor",),
}  # fmt: skip

for home, names in HOMES.items():
    module = importlib.import_module(home)
    for name in names:
        setattr(hivemind, name, getattr(module, name))
