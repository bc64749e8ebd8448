"""torchvision can be imported beside any build of PyTorch, once or many times, from any thread."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(code: str) -> str:
    """What a fresh interpreter prints; its error is the test's."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_a_fresh_interpreter_can_import_torchvision_and_run_its_mobilenet():
    out = run(
        "import torch\n"
        "from core.torchvision_ops import import_torchvision\n"
        "torchvision = import_torchvision()\n"
        "from torchvision.models import mobilenet_v2\n"
        "model = mobilenet_v2(num_classes=3).eval()\n"
        "print(tuple(model(torch.zeros(2, 3, 64, 64)).shape), torchvision.__name__)"
    )
    assert out == "(2, 3) torchvision"


def test_eight_threads_at_once_and_a_later_call_get_the_same_module():
    out = run(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from core.torchvision_ops import import_torchvision\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    modules = list(pool.map(lambda _: import_torchvision(), range(8)))\n"
        "print(len({id(module) for module in modules}), import_torchvision() is modules[0])"
    )
    assert out == "1 True"


def test_nothing_is_defined_where_the_operators_are_already_there():
    out = run(
        "import torch\n"
        "own = torch.library.Library('torchvision', 'DEF')\n"
        "for name in ('nms', 'qnms'):\n"
        "    own.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
        "own.impl('nms', lambda dets, scores, iou_threshold: scores + 1, 'CPU')\n"
        "import core.torchvision_ops as ops\n"
        "ops.import_torchvision()\n"
        "print(len(ops._libraries), torch.ops.torchvision.nms(torch.zeros(1, 4), torch.ones(1), 0.5).item())"
    )
    assert out == "0 2.0"


def test_importing_the_shim_alone_loads_neither_torch_nor_torchvision():
    out = run("import sys, core.torchvision_ops; print(sorted({'torch', 'torchvision'} & set(sys.modules)))")
    assert out == "[]"


def test_an_operator_that_is_not_there_still_says_so():
    code = (
        "import torch\n"
        "import core.torchvision_ops as ops\n"
        "torchvision = ops.import_torchvision()\n"
        "boxes = torch.tensor([[0.0, 0.0, 2.0, 1.0]])\n"
        "try:\n"
        "    print(torchvision.ops.nms(boxes, torch.ones(1), 0.5).tolist())\n"
        "except (RuntimeError, NotImplementedError) as error:\n"
        "    print('says so' if ops._libraries else repr(error))"
    )
    assert run(code) in ("[0]", "says so")
