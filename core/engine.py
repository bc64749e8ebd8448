"""The engine that runs an exported network: ONNX Runtime on the processor's cores."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime


def open_session(content: bytes, threads: int | None = None) -> "onnxruntime.InferenceSession":
    """A session of an ONNX file's bytes; `run` may be called from several threads at once."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = (
        threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    )
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
