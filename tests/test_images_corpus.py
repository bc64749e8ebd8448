"""Each made file gives the slices and the errors that it should, decoded apart: in bounded memory and time."""

import unicodedata

import numpy as np
import pytest

from core.errors import ImageError
from core.isolated import Decoder
from core.predictor import Predictor
from core.slices import Slice
from tests.made_corpus import CASES


@pytest.fixture(scope="module")
def decoder():
    made = Decoder()
    yield made
    made.close()


@pytest.fixture(scope="module")
def demo() -> Predictor:
    return Predictor.load()


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.name)[1:40])
def test_a_made_file_gives_what_it_should(case, decoder, demo):
    found = list(decoder.iter_slices(case.make(), case.name))
    slices = [item for item in found if isinstance(item, Slice)]
    errors = [item for item in found if isinstance(item, ImageError)]
    assert len(slices) == case.slices, errors
    for error, said in zip(errors, case.errors, strict=True):
        assert said in error.found
        assert error.found and error.expected
    for item in slices:
        assert np.isfinite(item.pixels).all()
    for prediction in demo.predict(slices[:3]):
        shares = list(prediction.probabilities.values())
        assert prediction.refused or (np.isfinite(shares).all() and abs(sum(shares) - 1) < 1e-5)
    said = " ".join([*(item.name for item in found), *map(str, errors), *(str(item.warnings) for item in slices)])
    assert "SECRET" not in said
    assert not any(unicodedata.category(character) in ("Cc", "Cs") or character == "\u202e" for character in said)
