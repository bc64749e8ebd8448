"""PNG, JPEG, TIFF, BMP and WebP become display grey without a change of order or scale."""

import numpy as np
import pytest
from PIL import Image

from core.errors import ImageError
from core.images import iter_slices, read_slices
from tests.made_images import encoded, png, stored_values

GREY = (stored_values() // 8).astype(np.uint8)


def one(data: bytes, name: str = "a.png"):
    (found,) = read_slices(data, name)
    return found


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_8_bit_grey_comes_through_unchanged(kind):
    found = one(encoded(Image.fromarray(GREY), kind))
    assert (found.unit, found.pixels.dtype, found.frame, found.warnings) == ("grey", np.uint8, None, ())
    assert np.array_equal(found.pixels, GREY)


def test_lossless_webp_comes_through_unchanged():
    assert np.array_equal(one(encoded(Image.fromarray(GREY).convert("RGB"), "WEBP", lossless=True)).pixels, GREY)


def test_a_16_bit_png_keeps_its_order_of_values():
    values = np.array([[0, 1, 256], [4096, 40000, 65535]], np.uint16)
    found = one(png(values))
    assert found.pixels.dtype == np.float32 and found.warnings == ()
    assert np.allclose(found.pixels, values * (255 / 65535))


@pytest.mark.parametrize(
    ("top", "full", "word"), [(4095, 4095, "12-bit"), (300, 4095, "12-bit"), (255, 255, "8-bit")]
)
def test_a_16_bit_png_of_fewer_bits_is_scaled_to_those_and_says_so(top, full, word):
    found = one(png(np.array([[0, top // 3], [7, top]], np.uint16)))
    assert found.pixels[1, 1] == pytest.approx(top * 255 / full)
    assert word in found.warnings[0] and str(full) in found.warnings[0]


def test_a_big_endian_16_bit_tiff_is_read_as_numbers():
    values = np.array([[0, 1000], [30000, 65535]], ">u2")
    assert np.allclose(one(encoded(Image.fromarray(values), "TIFF")).pixels, values * (255 / 65535))


def test_a_float_tiff_is_scaled_from_its_own_range_with_a_warning():
    found = one(encoded(Image.fromarray(np.array([[-1.0, 0.0], [1.0, 3.0]], np.float32)), "TIFF"))
    assert np.allclose(found.pixels, [[0, 63.75], [127.5, 255]])
    assert "-1 to 3" in found.warnings[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_float_tiff_with_values_that_are_no_numbers_is_an_error(bad):
    with pytest.raises(ImageError, match=r"a\.tif: found values that are not finite"):
        read_slices(encoded(Image.fromarray(np.array([[0, bad]], np.float32)), "TIFF"), "a.tif")


def test_1_bit_pictures_are_black_and_white():
    assert one(encoded(Image.fromarray(GREY > 100), "PNG")).pixels.tolist() == np.where(GREY > 100, 255, 0).tolist()


def test_a_palette_is_looked_up():
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "L")
    image.putpalette([10, 10, 10, 200, 200, 200, 90, 90, 90])
    assert one(encoded(image, "PNG")).pixels.tolist() == [[10, 200], [90, 200]]


def test_a_transparent_palette_entry_becomes_black():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "L")
    image.putpalette([100, 100, 100, 200, 200, 200])
    assert one(encoded(image, "PNG", transparency=0)).pixels.tolist() == [[0, 200]]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_lies_on_black(mode):
    image = Image.fromarray(np.array([[200, 200, 200]], np.uint8)).convert(mode)
    image.putalpha(Image.fromarray(np.array([[255, 0, 51]], np.uint8)))
    assert one(encoded(image, "PNG")).pixels.tolist() == [[200, 0, 40]]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_of_each_mode_keeps_dark_and_bright_apart(mode):
    image = Image.fromarray(np.repeat(np.array([[20, 220]], np.uint8), 16, 1).repeat(16, 0)).convert("RGB")
    found = one(encoded(image.convert(mode), "JPEG", quality=95)).pixels
    assert np.abs(found[:, :14].astype(int) - 20).max() < 8
    assert np.abs(found[:, 18:].astype(int) - 220).max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_cameras_rotation_is_undone(orientation):
    image = Image.fromarray(GREY)
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transposition that stores it so
    turned = image if orientation == 1 else image.transpose(Image.Transpose(back[orientation]))
    assert np.array_equal(one(encoded(turned, "PNG", exif=exif)).pixels, GREY)


def test_a_colour_picture_is_read_with_a_warning_and_a_grey_one_without():
    red = np.zeros((8, 9, 3), np.uint8)
    red[..., 0] = 255
    assert one(encoded(Image.fromarray(red), "PNG")).warnings == ("This is a colour picture; a CT slice is grey.",)
    assert one(encoded(Image.fromarray(GREY).convert("RGB"), "PNG")).warnings == ()


def test_each_page_of_a_tiff_is_a_frame():
    pages = [Image.fromarray(GREY + step) for step in (0, 1, 2)]
    found = read_slices(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]), "a.tif")
    assert [(item.frame, int(item.pixels[0, 0])) for item in found] == [(0, 12), (1, 13), (2, 14)]


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_of_an_animation_the_first_picture_is_read_with_a_warning(kind, options):
    pages = [Image.fromarray(GREY + step).convert("RGB") for step in (0, 50)]
    found = one(encoded(pages[0], kind, save_all=True, append_images=pages[1:], **options))
    assert np.array_equal(found.pixels, GREY)
    assert found.warnings == ("This file holds several pictures; only the first was read.",)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_a_truncated_picture_is_an_error_that_says_so(kind):
    noise = np.random.default_rng(3).integers(0, 255, (64, 80), np.uint8)
    data = encoded(Image.fromarray(noise).convert("RGB"), kind)
    (error,) = iter_slices(data[: len(data) * 2 // 3], "half")
    assert isinstance(error, ImageError)
    assert "truncated" in error.found


def test_the_suffix_does_not_matter():
    assert np.array_equal(one(png(GREY), "slice.dcm").pixels, GREY)


def test_pillows_own_settings_are_left_alone():
    from PIL import ImageFile

    before = Image.MAX_IMAGE_PIXELS
    one(png(GREY))
    assert before == Image.MAX_IMAGE_PIXELS and not ImageFile.LOAD_TRUNCATED_IMAGES
