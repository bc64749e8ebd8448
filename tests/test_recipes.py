"""Recipes: what ships loads, what contradicts itself is refused by name, what is written is read back the same."""

import pytest

from core.errors import ConfigError
from core.recipe import load_recipe, recipe_from_json


def test_the_papers_recipe_is_the_published_one():
    recipe = load_recipe("paper")
    assert (recipe.head, recipe.optimizer, recipe.schedule, recipe.epochs) == ("paper", "sgd", "step", 10)
    assert (recipe.keep, recipe.augment, recipe.preprocess.pipeline) == ("best", None, "paper")


def test_the_papers_recipe_lists_every_value_that_was_chosen_for_it():
    chosen = load_recipe("paper").chosen
    expected = {"learning_rate", "momentum", "step_size", "gamma", "batch_size", "image_size", "dropout", "hidden"}
    assert set(chosen) == expected
    assert all(text.startswith("not published") for text in chosen.values())


@pytest.mark.parametrize("name", ["paper", "lung"])
def test_a_recipe_survives_being_written_and_read(name):
    recipe = load_recipe(name)
    assert recipe_from_json(recipe.to_json()) == recipe


def test_a_recipe_names_its_backbone_and_one_made_before_has_mobilenet(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("backbone = 'resnet18'\n")
    assert load_recipe(str(file)).backbone == "resnet18"
    assert load_recipe(str(file), backbone="vgg16").backbone == "vgg16"
    assert {load_recipe(name).backbone for name in ("paper", "lung")} == {"mobilenet_v2"}
    before = load_recipe("lung").to_json()
    del before["backbone"]
    assert recipe_from_json(before).backbone == "mobilenet_v2"


def test_a_recipe_of_ones_own_is_read_from_its_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("epochs = 3\n[preprocess]\npipeline = 'paper'\n")
    recipe = load_recipe(str(file), batch_size=7)
    assert (recipe.name, recipe.epochs, recipe.batch_size, recipe.preprocess.pipeline) == ("mine", 3, 7, "paper")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = 0", "epochs"),
        ("optimizer = 'adam'", "sgd, adamw"),
        ("learning_rat = 0.1", "learning_rat.*unknown"),
        ("learning_rate = 'fast'", "learning_rate.*a number"),
        ("validation = 0.0", "keep"),
        ("[augment]\nflipp = 1", "augment: flipp"),
        ("epochs = = 3", "not TOML"),
        ("epochs = 1.5", "epochs.*a whole number"),
        ("backbone = ['a']", "backbone.*a text"),
        ("backbone = 'resnet'", "backbone: found 'resnet'; expected one of mobilenet_v2, .*resnet18"),
        ("backbone = 'inception_v3'\n[preprocess]\nsize = 64", "size: found 64 pixels; expected 75 or more"),
        ("frozen = -1", "frozen"),
        ("step_size = 0", "step_size"),
        ("chosen = 'x'", "chosen.*a mapping"),
        ("small_share = 1.5", "small_share"),
        ("small_share = 0.5\nsmall_size = 400\n[augment]", "small_size.*32 to 224"),
        ("small_share = 0.5\nsmall_size = 96", "small_share.*augment"),
    ],
)
def test_a_faulty_recipe_is_refused_by_name(tmp_path, text, words):
    file = tmp_path / "faulty.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_recipe(str(file))


def test_the_first_epochs_show_smaller_views():
    recipe = load_recipe("lung", epochs=5, small_share=0.6, small_size=96)
    assert [recipe.size_at(epoch) for epoch in range(5)] == [96, 96, 96] + [recipe.preprocess.size] * 2


def test_an_unknown_recipe_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="lung, paper"):
        load_recipe("unknown")
