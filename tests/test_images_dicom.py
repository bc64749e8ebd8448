"""DICOM files become Hounsfield units in the radiological view; what is none is grey and says why."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from core.errors import ImageError
from core.images import iter_slices, read_slices
from tests.made_images import dicom, dicom_dataset, stored_values, written

STORED = stored_values()
HU = STORED.astype(int) - 1024
SYNTAX = "1.2.840.10008.1.2"


def one(data: bytes):
    (found,) = read_slices(data, "a.dcm")
    return found


def error_of(data: bytes) -> ImageError:
    (error,) = iter_slices(data, "a.dcm")
    assert isinstance(error, ImageError)
    return error


def compressed(process: int, values: np.ndarray = STORED, **elements) -> bytes:
    import imagecodecs

    encode = {
        50: lambda v: imagecodecs.jpeg8_encode(v, level=100),
        51: lambda v: imagecodecs.jpeg8_encode(v, bitspersample=12, level=100),
        57: lambda v: imagecodecs.jpeg8_encode(v, bitspersample=16, lossless=True, predictor=4),
        70: lambda v: imagecodecs.jpeg8_encode(v, bitspersample=16, lossless=True, predictor=1),
        80: imagecodecs.jpegls_encode,
        81: lambda v: imagecodecs.jpegls_encode(v, level=2),
        90: lambda v: imagecodecs.jpeg2k_encode(v, level=0, codecformat="J2K"),
        91: lambda v: imagecodecs.jpeg2k_encode(v, level=80, codecformat="J2K"),
    }[process]
    frames = list(values) if values.ndim == 3 and "SamplesPerPixel" not in elements else [values]
    data = encapsulate([encode(np.ascontiguousarray(frame)) for frame in frames])
    return dicom(values, f"{SYNTAX}.4.{process}", PixelData=data, **elements)


def test_a_ct_becomes_whole_hounsfield_units_with_its_place():
    found = one(dicom(STORED))
    assert (found.unit, found.pixels.dtype, found.frame, found.warnings) == ("hu", np.int16, None, ())
    assert np.array_equal(found.pixels, HU)
    assert (found.position, found.spacing) == (12.5, (0.7, 0.9))


@pytest.mark.parametrize("syntax", [SYNTAX, f"{SYNTAX}.1", f"{SYNTAX}.1.99"])
def test_uncompressed_and_deflated_files_are_read(syntax):
    assert np.array_equal(one(dicom(STORED, syntax)).pixels, HU)


def test_a_big_endian_file_is_read():
    dataset = dicom_dataset(STORED, PixelData=STORED.astype(">u2").tobytes())
    assert np.array_equal(one(written(dataset, f"{SYNTAX}.2")).pixels, HU)


def test_signed_values_with_a_fractional_slope_become_float():
    values = STORED.astype(np.int16) - 2000
    found = one(dicom(values, RescaleSlope="0.5", RescaleIntercept="10"))
    assert found.pixels.dtype == np.float32
    assert np.array_equal(found.pixels, np.maximum(values * 0.5 + 10, -1024))


@pytest.mark.parametrize(("process", "off"), [(51, 8), (57, 0), (70, 0), (80, 0), (81, 2), (90, 0), (91, 30)])
def test_each_jpeg_process_of_12_bits_is_decoded(process, off):
    found = one(compressed(process, BitsStored=12, HighBit=11))
    assert found.unit == "hu"
    assert np.abs(found.pixels - HU).max() <= off


def test_jpeg_baseline_is_decoded():
    values = (STORED // 10).astype(np.uint8)
    found = one(compressed(50, values, RescaleIntercept="-100"))
    assert np.abs(found.pixels - (values.astype(int) - 100)).max() <= 3


@pytest.mark.parametrize("process", [70, 80, 90])
def test_signed_values_survive_compression(process):
    values = STORED.astype(np.int16) - 1024
    coded = values if process == 90 else values.view(np.uint16)
    data = compressed(process, coded, PixelRepresentation=1, RescaleIntercept="0")
    assert np.array_equal(one(data).pixels, np.maximum(values, -1024))


@pytest.mark.parametrize("frames", [1, 3])
def test_run_length_data_are_unpacked(frames):
    values = np.stack([np.repeat(STORED, 3, 1) + step for step in range(frames)])
    dataset = dicom_dataset(values)
    dataset.file_meta = None
    written(dataset)
    dataset.compress("1.2.840.10008.1.2.5")
    found = read_slices(written(dataset, f"{SYNTAX}.5"), "a.dcm")
    assert np.array_equal([item.pixels for item in found], values.astype(int) - 1024)


def test_frames_of_a_multi_frame_file_carry_their_own_place_and_scale():
    values = np.stack([STORED, STORED + 1, STORED + 2])
    dataset = dicom_dataset(values, RescaleSlope=None, RescaleIntercept=None, ImagePositionPatient=None)
    frames = []
    for step in range(3):
        frame, place, scale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, 50 - 5 * step]
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1, -1000 - step, "HU"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [scale]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    found = read_slices(written(dataset), "a.dcm")
    assert [(item.frame, item.position, item.unit) for item in found] == [
        (0, 50.0, "hu"),
        (1, 45.0, "hu"),
        (2, 40.0, "hu"),
    ]
    assert all(np.array_equal(item.pixels, STORED.astype(int) - 1000) for item in found)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        ([-1, 0, 0, 0, 1, 0], lambda hu: hu[:, ::-1]),
        ([1, 0, 0, 0, -1, 0], lambda hu: hu[::-1]),
        ([-1, 0, 0, 0, -1, 0], lambda hu: hu[::-1, ::-1]),
        ([0, 1, 0, 1, 0, 0], lambda hu: hu.T),
        ([0, -1, 0, 1, 0, 0], lambda hu: hu.T[::-1]),
        ([0, 1, 0, -1, 0, 0], lambda hu: hu.T[:, ::-1]),
    ],
)
def test_an_axial_slice_is_turned_to_the_radiological_view(orientation, turn):
    found = one(dicom(STORED, ImageOrientationPatient=orientation))
    assert np.array_equal(found.pixels, turn(HU))
    assert found.position == 12.5
    assert found.spacing == ((0.9, 0.7) if orientation[0] == 0 else (0.7, 0.9))


def test_a_coronal_slice_a_localiser_and_a_slice_of_unknown_orientation_say_so():
    coronal = one(dicom(STORED, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]))
    assert coronal.warnings == ("This is not an axial slice.",) and coronal.position is None
    scout = one(dicom(STORED, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    assert "localiser" in scout.warnings[0]
    unknown = one(dicom(STORED, ImageOrientationPatient=None))
    assert "how the patient lay" in unknown.warnings[0]


def test_monochrome1_leaves_hounsfield_units_and_inverts_grey():
    assert np.array_equal(one(dicom(STORED, PhotometricInterpretation="MONOCHROME1")).pixels, HU)
    grey = one(dicom(STORED, PhotometricInterpretation="MONOCHROME1", Modality="CR"))
    assert (grey.pixels[0, 0], grey.pixels[-1, -1]) == (255, 0)


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"Modality": "MR"}, "modality of this file is MR"),
        ({"Modality": "SECRET"}, "modality of this file is unknown"),
        ({"RescaleSlope": None, "RescaleIntercept": None}, "no rescale slope"),
        ({"RescaleType": "Z_EFF"}, "not Hounsfield units"),
    ],
)
def test_what_is_no_ct_in_hounsfield_units_is_grey_over_its_own_range(elements, said):
    found = one(dicom(STORED, **elements))
    assert found.unit == "grey" and said in found.warnings[0]
    assert np.allclose(found.pixels, (STORED - 100.0) * 255 / (STORED.max() - 100))


def test_grey_follows_the_files_own_window():
    found = one(
        dicom(STORED, Modality="MR", RescaleIntercept="0", WindowCenter=["600", "40"], WindowWidth=["800", "9"])
    )
    assert np.allclose(found.pixels, np.clip((STORED - 200.0) * 255 / 800, 0, 255), atol=1e-3)


def test_padding_becomes_air():
    values = STORED.copy()
    values[0, :5] = 63536
    found = one(dicom(values, PixelPaddingValue=63536)).pixels
    assert (found[0, :5] == -1024).all() and np.array_equal(found[1:], HU[1:])
    low = STORED.astype(np.int16)
    low[0, :5] = -2000
    assert (one(dicom(low, PixelPaddingValue=-2000)).pixels[0, :5] == -1024).all()


def test_a_padding_value_that_is_plausible_tissue_is_left_alone():
    found = one(dicom(STORED, PixelPaddingValue=int(STORED[3, 4]))).pixels
    assert found[3, 4] == HU[3, 4]


def test_bits_above_the_stored_ones_are_not_part_of_the_value():
    values = STORED | 0x8000  # an overlay drawn in the sixteenth bit
    assert np.array_equal(one(dicom(values, BitsStored=12, HighBit=11)).pixels, HU)


@pytest.mark.parametrize("planar", [0, 1])
def test_a_colour_image_becomes_its_luma_with_a_warning(planar):
    colours = np.stack([STORED // 10, STORED // 20, STORED // 15], -1).astype(np.uint8)
    data = np.moveaxis(colours, -1, 0).tobytes() if planar else colours.tobytes()
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": planar}
    found = one(dicom(colours[..., 0], PixelData=data, **colour))
    assert np.array_equal(found.pixels, np.rint(colours @ np.array([0.299, 0.587, 0.114])))
    assert found.unit == "grey" and "colour" in found.warnings[0]


def test_a_compressed_frame_larger_than_its_header_says_is_not_decoded():
    assert "another size" in error_of(compressed(90, Rows=23)).found


def test_a_damaged_frame_leaves_the_others():
    data = compressed(70, np.stack([STORED, STORED + 1, STORED + 2]))
    start = data.index(b"\xff\xc4", data.index(b"\xff\xd8", data.index(b"\xff\xd9")))
    found = list(iter_slices(data[: start + 4] + b"\xff" * 12 + data[start + 16 :], "a.dcm"))
    assert [type(item).__name__ for item in found] == ["Slice", "ImageError", "Slice"]
    assert "frame 2" in found[1].found


def test_a_transfer_syntax_that_is_not_on_the_list_is_named():
    assert "MPEG2" in error_of(dicom(STORED, f"{SYNTAX}.4.100", PixelData=encapsulate([b"1234"]))).found


@pytest.mark.parametrize(
    ("declared", "said"),
    [("NO", None), (" no ", None), ("YES", "says that text"), (None, "does not say"), ("", "does not say")],
)
def test_a_file_that_does_not_declare_its_pixels_free_of_text_says_so(declared, said):
    notes = one(dicom(STORED, BurnedInAnnotation=declared)).warnings
    assert [said in note for note in notes] == ([True] if said else [])


def test_a_value_that_is_not_the_standards_is_no_declaration_and_not_quoted():
    (note,) = one(dicom(STORED, BurnedInAnnotation="SECRET")).warnings
    assert "does not say" in note and "SECRET" not in note


def test_nothing_of_the_patient_reaches_names_warnings_or_the_log(caplog, capfd, recwarn):
    broken = dicom(STORED, PatientBirthDate="SECRET-DATE-THAT-IS-INVALID", Modality="CR")
    for data in (broken, broken[:-50], dicom(STORED, PixelData=None)):
        for item in iter_slices(data, "a.dcm"):
            shown = str(item) if isinstance(item, ImageError) else f"{item.name} {item.warnings}"
            assert "secret" not in shown.lower()
    noise = [caplog.text, *capfd.readouterr(), *(str(warning.message) for warning in recwarn)]
    assert "secret" not in " ".join(noise).lower()


def test_a_real_chest_ct_has_lung_and_soft_tissue_where_they_belong(shared):
    paths = sorted((shared / "dicom" / "chest_ct_A0001").glob("*.dcm"))
    found = [read_slices(path.read_bytes(), path.name)[0] for path in paths]
    assert [item.position for item in found] == [-169, -184, -194, -204, -214, -224, -234, -269]
    middle = found[4].pixels
    lung = middle[150:350, 120:220][middle[150:350, 120:220] < -600]
    tissue = middle[(middle > -50) & (middle < 120)]
    assert found[4].unit == "hu" and -900 < np.median(lung) < -780 and 20 < np.median(tissue) < 70


def test_a_real_brain_mr_is_grey_and_says_so(shared):
    (found,) = read_slices((shared / "dicom" / "other" / "brain_T1_MR.dcm").read_bytes(), "mr")
    assert found.unit == "grey" and found.warnings[0] == "The modality of this file is MR, not CT."
