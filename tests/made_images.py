"""Small image files made in memory, for the tests of the reader; none is symmetric."""

import io
import zipfile

import numpy as np
from PIL import Image

EXPLICIT = "1.2.840.10008.1.2.1"
AXIAL = [1, 0, 0, 0, 1, 0]


def stored_values(rows: int = 24, columns: int = 32) -> np.ndarray:
    """(rows, columns) uint16 of 12 bits: a ramp that differs in every corner."""
    row, column = np.mgrid[:rows, :columns]
    return (100 + 60 * row + 37 * column).astype(np.uint16)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """A Pillow picture as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(pixels: np.ndarray) -> bytes:
    """A PNG of uint8 or uint16 values."""
    return encoded(Image.fromarray(pixels), "PNG")


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive with these members, in this order."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def dicom_dataset(values: np.ndarray, **elements):
    """A CT data set of one frame (h, w) or several (n, h, w), rescale 1 and -1024; `elements` replace or, as
    None, remove."""
    from pydicom.dataset import Dataset

    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
    dataset.PatientName, dataset.PatientID = "Secret^Person", "SECRET-ID"
    dataset.SeriesInstanceUID, dataset.BurnedInAnnotation = "1.2.3", "NO"
    dataset.Modality, dataset.PhotometricInterpretation = "CT", "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape[1:3] if values.ndim == 3 else values.shape[:2]
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, int(values.dtype.kind == "i")
    dataset.BitsAllocated = 8 * values.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-100, -80, 12.5], AXIAL
    dataset.PixelSpacing = [0.7, 0.9]
    dataset.PixelData = values.tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def dicom(values: np.ndarray, syntax: str = EXPLICIT, **elements) -> bytes:
    """The bytes of `dicom_dataset` in a transfer syntax; compressed frames go in as PixelData."""
    return written(dicom_dataset(values, **elements), syntax)


def written(dataset, syntax: str = EXPLICIT) -> bytes:
    """A data set as the bytes of a DICOM file."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if UID(syntax).is_compressed and UID(syntax).is_encapsulated else "OW"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def slow_dicom() -> bytes:
    """A valid DICOM file of 25 megapixels, run-length coded two at a time: seconds of work to decode."""
    from pydicom.encaps import encapsulate

    side = 5000
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    frame = header + b"\xff\x07" * (side * side // 2)
    stated = {"Rows": side, "Columns": side, "PixelData": encapsulate([frame])}
    return dicom(np.zeros((2, 2), np.uint8), "1.2.840.10008.1.2.5", **stated)


def nifti(volume: np.ndarray, affine: np.ndarray, packed: bool = False) -> bytes:
    """A NIfTI-1 file, gzipped or not."""
    import gzip

    import nibabel

    data = nibabel.Nifti1Image(volume, affine).to_bytes()
    return gzip.compress(data) if packed else data
