"""docs/performance.md from the figures of one `make bench`: each with its peer, ratio and spread, and a limit."""

import json
import math
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

DOCS = Path(__file__).resolve().parent.parent / "docs"
NO_PEER, MISSED = "no peer", "missed"
PACKAGES = ("numpy", "onnxruntime", "torch", "opencv-python-headless", "streamlit", "playwright")

HEAD = """# Performance

One run of `make bench`, written by it; nothing is typed in. Figures are medians, with the least and the most of
the rounds in brackets. A ratio is the peer's number over ours, round by round, the two in turns on one machine:
above 1 ours is faster or smaller. Where no package that we know does the same, it says "no peer".
"""


@dataclass(frozen=True)
class Figure:
    """One thing that was measured: ours and the peer's numbers, round by round, in `unit`.

    `limit` says in words what bounds it on this machine and what bar it is held to; empty where nothing was set.
    """

    part: str
    what: str
    unit: str
    ours: tuple[float, ...]
    peer: str = NO_PEER
    theirs: tuple[float, ...] = ()
    limit: str = ""

    @property
    def ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.theirs, self.ours, strict=True)] if self.theirs else []

    @property
    def missed(self) -> bool:
        """Whether it is held to a bar and misses it."""
        return self.limit.endswith(MISSED)

    def held_to(self, least: float = 0.0, most: float = math.inf) -> "Figure":
        """The same figure with a bar: a ratio of at least `least`, or numbers of at most `most`; by the medians."""
        if least:
            words, met = f"ratio at least {least:g}", statistics.median(self.ratios) >= least
        else:
            words, met = f"at most {most:g} {self.unit}", statistics.median(self.ours) <= most
        return replace(self, limit="; ".join(filter(None, [self.limit, f"{words}: {'met' if met else MISSED}"])))

    def line(self) -> str:
        """As a row of its part's table."""
        ratios = self.ratios
        theirs = f"{spread(self.theirs)} {self.unit}" if self.theirs else ""
        ratio = f"**{spread(ratios)}**" if ratios else ""
        cells = (
            self.what,
            f"{spread(self.ours)} {self.unit}",
            self.peer,
            theirs,
            ratio,
            len(self.ours),
            self.limit,
        )
        return f"| {' | '.join(map(str, cells))} |"


def told(figure: Figure) -> Figure:
    """The same figure, printed."""
    print(f"{figure.part} {figure.line()}", flush=True)
    return figure


def in_turns(
    part: str,
    what: str,
    peer: str,
    theirs: Callable[[], object],
    ours: Callable[[], object],
    rounds: int,
    per: float = 1e-3,
    unit: str = "ms",
) -> Figure:
    """Seconds / `per` of both, each run once for warmth and then in turns."""
    theirs()
    ours()
    pairs = [(timed(theirs) / per, timed(ours) / per) for _ in range(rounds)]
    a, b = zip(*pairs, strict=True)
    return Figure(part, what, unit, b, peer, a)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def spread(values: Sequence[float]) -> str:
    """The median, and in brackets the least and the most; three digits."""
    low, middle, high = (number(v) for v in (min(values), statistics.median(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def named(package: str) -> str:
    """A package with its version."""
    return f"{package} {version(package)}"


def machine() -> dict[str, str]:
    """What the figures depend on, in words that name no host."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {
        "processor": f"{_processor()}, {cores} cores used",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(map(named, PACKAGES)),
    }
    if hasattr(os, "getloadavg"):
        facts["load before"] = f"{os.getloadavg()[0]:.1f} (0: nothing else ran)"
    return facts


def _processor() -> str:
    """The model's name, and the vector instructions that matter here."""
    about = Path("/proc/cpuinfo")
    if not about.exists():
        return platform.processor() or platform.machine()
    text = about.read_text()
    model = re.search(r"model name\s*: (.+)", text)
    flags = re.search(r"flags\s*: (.+)", text)
    known = [name for name in ("avx2", "avx512f", "avx512_bf16") if flags and name in flags[1].split()]
    return f"{model[1] if model else platform.machine()} ({', '.join(known) or 'no vector instructions known'})"


def matrix_rate(rounds: int, side: int = 1024) -> dict[str, float]:
    """{package: multiply-adds a second} of its float32 product of two square matrices on all cores, best round.

    A rate of the machine and not of one package is the largest of them: not every package has kernels for every
    processor.
    """
    import torch

    a = np.random.default_rng(0).random((side, side), np.float32)
    tensor = torch.from_numpy(a)
    session = _matrix_session(side)
    works = {
        "numpy": lambda: a @ a,
        "torch": lambda: tensor @ tensor,
        "onnxruntime": lambda: session.run(None, {"a": a, "b": a}),
    }
    return {name: side**3 / min(timed(work) for _ in range(3 * rounds)) for name, work in works.items()}


def _matrix_session(side: int) -> object:
    import onnxruntime
    from onnx import TensorProto, helper

    shape = [side, side]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "abc"]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", tensors[:2], tensors[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def multiply_adds(network: Path) -> int:
    """Multiply-adds of one picture in an exported network: its convolutions and products."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load(network)).graph
    constants = {item.name: list(item.dims) for item in graph.initializer}
    shapes = {
        item.name: [part.dim_value or 1 for part in item.type.tensor_type.shape.dim]
        for item in [*graph.value_info, *graph.output]
    }
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weights = constants[node.input[1]]
            inner = weights[1:] if node.op_type == "Conv" else weights[-1:]
            total += int(np.prod(shapes[node.output[0]]) * np.prod(inner))
        elif node.op_type == "MatMul" and node.input[0] in constants:
            total += int(np.prod(shapes[node.output[0]]) * constants[node.input[0]][-1])
    return total


def write(figures: Sequence[Figure], facts: dict[str, str], minutes: float, folder: Path = DOCS) -> None:
    """performance.md, and the numbers behind it, round by round, as performance.json."""
    content = {"machine": facts, "minutes": round(minutes, 1), "figures": [asdict(figure) for figure in figures]}
    folder.mkdir(exist_ok=True)
    (folder / "performance.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (folder / "performance.md").write_text(page(content), encoding="utf-8")


def page(content: dict) -> str:
    """The page of a run's results, as `write` keeps them."""
    lines = [HEAD]
    lines += [f"- {name}: {about}" for name, about in content["machine"].items()]
    lines += [f"- the whole run took {content['minutes']} minutes", ""]
    figures = [
        Figure(**{k: tuple(v) if isinstance(v, list) else v for k, v in f.items()}) for f in content["figures"]
    ]
    for part in dict.fromkeys(figure.part for figure in figures):
        lines += [f"## {part}", "", "| what | ours | peer | peer's | ratio | rounds | limit |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [figure.line() for figure in figures if figure.part == part] + [""]
    return "\n".join(lines)


if __name__ == "__main__":
    (DOCS / "performance.md").write_text(
        page(json.loads((DOCS / "performance.json").read_text())), encoding="utf-8"
    )
    sys.exit(0)
