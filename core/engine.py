"""The engine that runs an exported network: ONNX Runtime on the processor's cores."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

INPUT, LOGITS, CAMS, FEATURES, CONTEXT = "images", "logits", "cams", "features", "context"
OUTPUTS = (LOGITS, CAMS)
ALL_OUTPUTS = (*OUTPUTS, FEATURES, CONTEXT)
"""Names in an exported network: grey pictures (b, 1, size, size) in; out come logits, activation maps, the pooled
features (b, channels) that its head reads, and the context (b, 2 c) that core.gate looks at. Networks exported
earlier lack the last one or two."""


def open_session(content: bytes, threads: int | None = None) -> "onnxruntime.InferenceSession":
    """A session of an ONNX file's bytes; `run` may be called from several threads at once.

    `threads` None: one for each core that this process may use. Raises ValueError for anything that is not
    an exported classifier.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import, which else writes an id and reports the start
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    # Threads wait for the next call at rest: awake, they took as much processor time again, from others here.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.enable_mem_pattern = False  # memory for all of a call at once, 30 MB more than what its layers need
    options.log_severity_level = 4  # damage is reported by the exception, not on standard error
    unreadable = (faults.Fail, faults.InvalidArgument, faults.InvalidGraph, faults.InvalidProtobuf)
    unsupported = (faults.NotImplemented, faults.RuntimeException)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except (*unreadable, *unsupported) as error:
        raise ValueError("not an ONNX network") from error
    inputs, outputs = ([item.name for item in part] for part in (session.get_inputs(), session.get_outputs()))
    if inputs != [INPUT] or tuple(outputs[:2]) != OUTPUTS or not set(outputs).issubset(ALL_OUTPUTS):
        raise ValueError("an ONNX network of another kind")
    return session


def cores() -> int:
    """Cores that this process may use; 0, ONNX Runtime's own choice, where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
