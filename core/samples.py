"""The shipped synthetic samples and larger sets: phantoms as DICOM, PNG and a ZIP series, with a manifest."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from core.labels import LABELS
from core.phantom import phantom, phantom_series
from core.slices import LUNG_WINDOW, Slice, window

SAMPLES = (
    ("synthetic_01_normal.dcm", "normal", 9),
    ("synthetic_02_normal.dcm", "normal", 7),
    ("synthetic_03_normal.png", "normal", 14),
    ("synthetic_04_normal.png", "normal", 12),
    ("synthetic_05_pneumonia.dcm", "pneumonia", 4),
    ("synthetic_06_pneumonia.dcm", "pneumonia", 15),
    ("synthetic_07_pneumonia.png", "pneumonia", 12),
    ("synthetic_08_pneumonia.png", "pneumonia", 16),
    ("synthetic_09_tumour.dcm", "tumour", 11),
    ("synthetic_10_tumour.dcm", "tumour", 16),
    ("synthetic_11_tumour.png", "tumour", 7),
    ("synthetic_12_tumour.png", "tumour", 13),
)
"""File, label and seed of each shipped slice."""

SERIES = ("synthetic_series_pneumonia.zip", "pneumonia", 4)
"""File, label and seed of the shipped series: SERIES_SLICES slices of SERIES_SIZE x SERIES_SIZE pixels."""

SERIES_SLICES, SERIES_SIZE = 24, 256

COLUMNS = ("file", "label", "group", "seed", "unit", "sha256")


def uid(*parts: object) -> str:
    """A DICOM identifier under the 2.25 root (PS3.5 B.2), always the same for the same parts."""
    digest = hashlib.sha256("/".join(["lunglens-phantom", *map(str, parts)]).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16])}"


def dicom_bytes(image: Slice, label: str, seed: int) -> bytes:
    """A phantom slice as a DICOM file (CT Image Storage, JPEG 2000 lossless), the same bytes each time.

    Stored values are HU + 1024 in 12 bits. The file says that it is synthetic in PatientName, ImageType and
    ImageComments.
    """
    from imagecodecs import jpeg2k_encode
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import CTImageStorage, JPEG2000Lossless

    height, width = image.pixels.shape
    frame = image.frame or 0
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid(label, seed, height, image.frame)
    meta.TransferSyntaxUID = JPEG2000Lossless
    meta.ImplementationClassUID = uid("implementation")
    file = Dataset()
    file.file_meta = meta
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    file.PatientName, file.PatientID = "SYNTHETIC^PHANTOM", f"SYNTHETIC-{label}-{seed}"
    for empty in (
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "StudyID",
        "ReferringPhysicianName",
        "PositionReferenceIndicator",
        "KVP",
        "AcquisitionNumber",
        "SliceThickness",
    ):
        setattr(file, empty, None)
    file.StudyInstanceUID, file.FrameOfReferenceUID = uid(label, seed), uid(label, seed, "frame of reference")
    file.SeriesInstanceUID, file.SeriesNumber = uid(label, seed, height, image.frame is None, "series"), 1
    file.InstanceNumber, file.Manufacturer = frame + 1, "LungLens phantom"
    file.Modality, file.BodyPartExamined, file.PatientPosition = "CT", "CHEST", "HFS"
    file.ImageType, file.BurnedInAnnotation = ["DERIVED", "SECONDARY", "AXIAL"], "NO"
    file.ImageComments = f"Synthetic, drawn by formula; no patient. Label {label}, seed {seed}."
    file.DerivationDescription = "Synthetic slice drawn by formula"
    down, across = (round(step, 6) for step in image.spacing)
    corner = [-(width - 1) / 2 * across, -(height - 1) / 2 * down, image.position]
    file.ImagePositionPatient = [round(v, 4) for v in corner]
    file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    file.PixelSpacing, file.Rows, file.Columns = [down, across], height, width
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    file.RescaleIntercept, file.RescaleSlope, file.RescaleType = -1024, 1, "HU"
    file.WindowCenter, file.WindowWidth = LUNG_WINDOW
    stored = (image.pixels.astype(np.int32) + 1024).astype(np.uint16)
    file.PixelData = encapsulate([jpeg2k_encode(stored, level=0, codecformat="j2k", reversible=True)])
    file["PixelData"].VR = "OB"
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()


def png_bytes(image: Slice) -> bytes:
    """A phantom slice through the lung window as an 8-bit grey PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(window(image.pixels, *LUNG_WINDOW)).save(out, "PNG", optimize=True)
    return out.getvalue()


def zip_bytes(slices: list[Slice], label: str, seed: int) -> bytes:
    """A series as a ZIP of DICOM files, uncompressed (they already are) and without times."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for image in slices:
            member = zipfile.ZipInfo(f"slice_{image.frame + 1:03d}.dcm")
            member.create_system, member.external_attr = 3, 0o644 << 16
            archive.writestr(member, dicom_bytes(image, label, seed))
    return out.getvalue()


def sample_bytes(file: str, label: str, seed: int) -> bytes:
    """The content of one shipped sample, by the kind that its name ends in."""
    if file.endswith(".zip"):
        return zip_bytes(phantom_series(label, seed, SERIES_SLICES, SERIES_SIZE), label, seed)
    image = phantom(label, seed).slice
    return dicom_bytes(image, label, seed) if file.endswith(".dcm") else png_bytes(image)


def write_samples(folder: Path) -> int:
    """Write the shipped samples and their manifest into `folder`; returns the number of samples."""
    return _write(folder, ((*entry, sample_bytes(*entry)) for entry in (*SAMPLES, SERIES)))


def write_set(folder: Path, count: int, seed: int) -> int:
    """Write `count` PNG slices of each class from `seed` on, and a manifest; returns their number."""
    named = (
        (f"{label}/phantom_{label}_{at:05d}.png", label, at) for label in LABELS for at in range(seed, seed + count)
    )
    return _write(folder, ((*entry, sample_bytes(*entry)) for entry in named))


def _write(folder: Path, entries: Iterable[tuple[str, str, int, bytes]]) -> int:
    """Write (file, label, seed, content) entries and the manifest, one row a file; a group is one patient."""
    rows = []
    for file, label, seed, content in entries:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
        unit = "grey" if file.endswith(".png") else "hu"
        rows.append((file, label, f"phantom-{label}-{seed}", seed, unit, hashlib.sha256(content).hexdigest()))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(rows)
    return len(rows)
