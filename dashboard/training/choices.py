"""The choices of a training: data, recipe, start weights, length; all of them in the page's address."""

from dataclasses import dataclass

import streamlit as st

from core.backbones import BACKBONES
from core.errors import DataError, LungLensError
from core.order import Request
from core.recipe import Recipe
from dashboard.training import loaders
from dashboard.training.loaders import PHANTOMS

WATCH = "watch"
NOTICES = "train-notices"
IMAGENET, NO_WEIGHTS, TYPED = "imagenet", "none", "file"
PHANTOM_COUNTS = (8, 24, 80)
HELD = 20
"""Share of the groups kept for validation unless chosen otherwise, %."""

WHOLE = {"epochs": (1, 10_000), "batch": (2, 4096), "held": (0, 90), "seed": (0, 2**32 - 1)}
"""Whole numbers in the address and their ranges."""

RATES = (1e-9, 10.0)
OWN = "Empty: as the recipe says, in grey"


@dataclass(frozen=True)
class Chosen:
    """What is chosen: the request, or why it cannot be one."""

    request: Request | None
    error: LungLensError | None = None


def data_title(name: str) -> str:
    """A data folder by its name, the phantoms in words."""
    return "Phantoms (synthetic)" if name == PHANTOMS else name


def weights_title(name: str) -> str:
    """A choice of start weights in words."""
    return {NO_WEIGHTS: "None (random)", IMAGENET: "ImageNet", TYPED: "A file by its path"}.get(name, name)


def backbone_title(name: str) -> str:
    """A backbone in words."""
    return BACKBONES[name].title


def weight_names() -> list[str]:
    """What training can start from: nothing, ImageNet, files that are offered, any file on one's own machine."""
    return [NO_WEIGHTS, IMAGENET, *loaders.weight_files(), *([] if loaders.hosted() else [TYPED])]


def note_link() -> None:
    """Take down what the address asks for and the page cannot give; the widgets drop such values themselves."""
    notices = st.session_state.setdefault(NOTICES, {})
    known = {  # an address holds what a widget shows
        "folders": ([data_title(name) for name in loaders.data_names()], data_title(PHANTOMS)),
        "recipe": (loaders.recipe_names(), loaders.recipe_names()[0]),
        "backbone": ([backbone_title(name) for name in BACKBONES], "the recipe's"),
        "weights": ([weights_title(name) for name in weight_names()], weights_title(NO_WEIGHTS)),
        "phantoms": ([str(count) for count in PHANTOM_COUNTS], str(PHANTOM_COUNTS[1])),
    }
    for name, (values, default) in known.items():
        for found in st.query_params.get_all(name):
            if found and found not in values:  # an empty one is a box that was emptied, and says so itself
                notices[name] = (found, f"one of {', '.join(values)}", default)
    for name, (low, high) in WHOLE.items():
        _note_number(notices, name, low, high, "a whole number")
    _note_number(notices, "rate", *RATES, "a number")


def _note_number(notices: dict, name: str, low: float, high: float, kind: str) -> None:
    found = st.query_params.get(name)
    if not found:
        return
    try:
        good = low <= float(found) <= high
    except ValueError:
        good = False
    if not good:
        default = {"held": f"{HELD} %", "seed": "0"}.get(name, "the recipe's")
        notices[name] = (found, f"{kind} from {low:g} to {high:g}", default)


def choose() -> Chosen:
    """Draw the choices; the request that they make."""
    names = loaders.data_names()
    picked = st.multiselect(
        "Data",
        names,
        default=[PHANTOMS],
        format_func=data_title,
        key="folders",
        bind="query-params",
        help="Folders below the one that LUNGLENS_DATA names (else data/images): each with a manifest.csv, or with "
        "train/CLASS and test/CLASS. Phantoms are drawn by formula; they show how training works, nothing more.",
    )
    phantoms = st.container()  # there even when empty: what follows keeps its place, and what is being typed there
    per_class = PHANTOM_COUNTS[1]
    if PHANTOMS in picked:
        per_class = phantoms.segmented_control(
            "Phantoms of each class",
            PHANTOM_COUNTS,
            default=per_class,
            key="phantoms",
            required=True,
            bind="query-params",
        )
    config = st.segmented_control(
        "Recipe",
        loaders.recipe_names(),
        default=loaders.recipe_names()[0],
        key="recipe",
        required=True,
        bind="query-params",
        help="lung: LungLens's own, made for sources it has not seen. paper: as published, 10 epochs of SGD.",
    )
    recipe = loaders.recipe_of(config)
    backbone = _backbone(recipe)
    try:
        weights = _weights()
    except LungLensError as error:
        _numbers(recipe)
        return Chosen(None, error)
    numbers = _numbers(recipe)
    name = st.text_input(
        "Name", key="training", placeholder=f"{config} and the time", max_chars=80, bind="query-params"
    )
    if not picked:
        return Chosen(None, DataError("Data", "nothing chosen", "one folder or more, or the phantoms"))
    folders = loaders.folders_of(picked, per_class)
    request = Request(
        name.strip() or loaders.name_for(config), folders, config, weights, **numbers, backbone=backbone
    )
    try:
        loaders.order_of(request)
    except LungLensError as error:
        return Chosen(None, error)
    return Chosen(request)


def _backbone(recipe: Recipe) -> str | None:
    """The network that is chosen, None for the recipe's own."""
    chosen = st.selectbox(
        "Backbone",
        list(BACKBONES),
        index=list(BACKBONES).index(recipe.backbone),
        format_func=backbone_title,
        key="backbone",
        bind="query-params",
        help="The network below the classes, in the form that was published. MobileNetV2 is the paper's and the "
        "smallest; the others take longer to train and to answer.",
    )
    told = st.container()  # there even when empty, as below
    if chosen == recipe.backbone:
        return None
    told.caption(
        f"{backbone_title(chosen)} needs start weights of its own: ImageNet, or a file of this very network. From "
        "random ones it needs far more images than a few thousand, and its results say little of it."
    )
    return chosen


def _weights() -> str:
    offered = loaders.weight_files()
    chosen = st.selectbox(
        "Start weights",
        weight_names(),
        format_func=weights_title,
        key="weights",
        bind="query-params",
        help="ImageNet: torchvision's, fetched once (needs internet the first time). Files: those in the folder "
        "that LUNGLENS_WEIGHTS names (else data/weights). From none, a network needs far more images and epochs.",
    )
    path = st.container()  # for the same reason
    if chosen == TYPED:
        typed = path.text_input(
            "Path of the weights", key="weights_file", placeholder="folder/weights.pth", bind="query-params"
        )
        return loaders.check_weights(typed.strip())
    return str(offered[chosen]) if chosen in offered else chosen


def _numbers(recipe: Recipe) -> dict:
    """Length, pace, validation share and seed; an empty field leaves the value to the recipe."""
    left, right = st.columns(2, gap="small", wrap=False)
    with left:
        epochs = _number("Epochs", "epochs", recipe.epochs, step=1)
        rate = _number("Learning rate", "rate", recipe.learning_rate, format="%g", step=recipe.learning_rate / 10)
    with right:
        batch = _number("Batch size", "batch", recipe.batch_size, step=1)
        seed = st.number_input("Seed", *WHOLE["seed"], value=0, step=1, key="seed", bind="query-params")
    held = st.number_input(
        "Kept for validation, % of groups",
        *WHOLE["held"],
        value=HELD,
        step=5,
        key="held",
        bind="query-params",
        help="Whole groups (patients, series), never single images. They draw the validation curves and fit the "
        "temperature of the probabilities. With 0 there is neither, and all images are learned from.",
    )
    return {
        "epochs": epochs,
        "batch_size": batch,
        "learning_rate": rate,
        "validation": (held or 0) / 100,
        "seed": seed or 0,
    }


def _number(label: str, key: str, own: float, **options) -> float | None:
    low, high = WHOLE.get(key, RATES)
    return st.number_input(
        label, low, high, value=None, key=key, placeholder=f"{own:g}", help=OWN, bind="query-params", **options
    )
