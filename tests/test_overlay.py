"""Pictures to look at: the window, where heat is drawn, how strong."""

import numpy as np

from core.overlay import display_grey, overlay


def test_a_window_maps_its_centre_to_the_middle_grey():
    assert display_grey(np.array([[-1400, -600, 200]]), "hu", -600, 1500).tolist() == [[0, 128, 255]]


def test_heat_below_a_third_is_not_drawn_and_full_heat_has_the_last_colour():
    grey = np.full((1, 3), 100, np.uint8)
    drawn = overlay(grey, np.array([[0.0, 0.33, 1.0]], np.float32), 1.0)
    assert drawn[0].tolist() == [[100, 100, 100], [100, 100, 100], [246, 240, 168]]


def test_strength_is_the_opacity_of_full_heat():
    drawn = overlay(np.zeros((1, 1), np.uint8), np.ones((1, 1), np.float32), 0.5)
    assert drawn[0, 0].tolist() == [123, 120, 84]
